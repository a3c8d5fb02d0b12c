"""What can go wrong on the Hub, and the log of what it was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fault:
    """One kind of misbehaviour of one file (or of the API), ``times`` times.

    ``drop`` ends the connection ``after`` bytes of the body; ``corrupt`` flips the byte at
    offset ``at``; ``status`` answers with ``status``, ``code`` as X-Error-Code, ``headers`` and
    ``body``; ``ignore-range`` answers a range request with the whole file; ``stall`` sends
    ``after`` bytes and then nothing until the server is closed. ``endless`` answers like
    ``status``, but with ``body`` again and again, ``pause`` seconds apart; ``endless-head`` does
    so with a header that never ends.

    Of uploads the targets are ``create``, ``preupload``, ``batch``, ``verify``, ``commit``,
    ``validate`` and a file's SHA-256: ``drop`` and ``stall`` count the bytes received,
    ``lost`` answers with ``status`` what was done all the same.
    """

    kind: str
    times: int = 1
    after: int = 0
    at: int = 0
    status: int = 500
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"error": "refused"}'
    method: str = "GET"
    pause: float = 0


@dataclass
class Request:
    """One request as it was answered.

    ``sent`` and ``received`` count body bytes, ``origin`` is hub or storage.
    """

    method: str
    target: str
    origin: str
    range: str
    token: str
    status: int = 0
    sent: int = 0
    received: int = 0
