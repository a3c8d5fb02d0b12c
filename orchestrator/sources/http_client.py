"""The one HTTP client of our own: for the webhook, files at addresses, and ranges of such files.

The Hub and the package index have clients of their own. All else goes through here, so that
time, size and the words of errors are bounded in one place. Addresses may hold passwords and
signatures, and servers may say anything: errors show scheme, host, path and the status alone.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from orchestrator.base import units
from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Progress
from orchestrator.sources import retry_after
from orchestrator.sources.attended_stream import Attended, TooLateError, within

if TYPE_CHECKING:
    import requests

REACH_SECONDS = 5.0
IDLE_SECONDS = 30.0
HEAD_SECONDS = 90.0  # until the headers of an answer are there, those of redirects included
MOST_BYTES = 10**12
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Answer:
    """What a server answers.

    Attributes:
        name: The address as errors show it.
        status: The HTTP status.
        headers: By name in any case.
        body: The bytes as they come, as the server stores them.
    """

    name: str
    status: int
    headers: Mapping[str, str]
    body: Iterator[bytes]

    @property
    def length(self) -> int:
        """How many bytes the server says the body has; 0 when it does not say."""
        stated = self.headers.get("Content-Length", "")
        return int(stated) if stated.isascii() and stated.isdigit() else 0

    def require(self, *expected: int) -> None:
        """Check the status.

        Raises:
            NetworkProblem: It is another one, and asking again can help.
            EnvironmentProblem: It is another one, and the server is at fault.
            StepError: It is another one.
        """
        if self.status in expected:
            return
        known = self.status in HTTPStatus._value2member_map_
        phrase = f" {HTTPStatus(self.status).phrase}" if known else ""
        said = f"{self.name} answers {self.status}{phrase}"
        if self.status in retry_after.RETRIED_STATUS:
            wait = retry_after.asked(self.headers) or 0
            raise NetworkProblem(said, "Try again later.", wait)
        raise (EnvironmentProblem if self.status >= 500 else StepError)(said)


def save(
    url: str, target: Path, report: Callable[[Progress], None], *, optional: bool = False
) -> bool:
    """Write to a file what an address gives.

    Returns:
        False where there is nothing at an ``optional`` one.

    Raises:
        NetworkProblem, StepError: As :func:`asked` and :meth:`Answer.require`.
        Interrupted: The user ended it.
    """
    with asked(url) as answer:
        if optional and answer.status == HTTPStatus.NOT_FOUND:
            return False
        answer.require(HTTPStatus.OK)
        with target.open("wb") as out:
            for chunk in answer.body:
                run_process.check_stopped()
                out.write(chunk)
                report(Progress(out.tell(), answer.length, "B"))
    return True


@contextmanager
def asked(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    name: str = "",
    redirects: bool = True,
    most_bytes: int = MOST_BYTES,
    most_seconds: float | None = None,
) -> Iterator[Answer]:
    """Ask a server; its answer is read while the context is open.

    Args:
        url: An http or https address.
        method: The HTTP method.
        headers: Further headers.
        content: What is sent.
        name: What errors call the address; without it, the address less its secrets.
        redirects: Whether redirects are followed.
        most_bytes: How long the body may be.
        most_seconds: How long reading it may take; a silence of 30 s is always too long.

    Raises:
        NetworkProblem: There is no answer, or it ends early or takes too long.
        StepError: The address cannot be used, or the body is too long.
    """
    import requests  # noqa: PLC0415 - heavy

    from orchestrator.sources.bounded_session import session  # noqa: PLC0415 - heavy

    shown = name or without_secrets(url)
    if url.partition(":")[0].lower() not in ("http", "https"):
        raise StepError(f"{shown} cannot be used: it is neither http nor https")
    try:
        request = partial(
            session(0).request,
            method,
            url,
            # Compressed, a file would not be the one that its checksum is of.
            headers={"Accept-Encoding": "identity", **(headers or {})},
            data=content,
            timeout=IDLE_SECONDS,
            allow_redirects=redirects,
            stream=True,
        )
        # The headers of an answer may come slowly, too, or without end.
        opened = within(HEAD_SECONDS, request)
    except TooLateError as error:
        raise _unreached(shown, error) from error
    except (requests.ConnectionError, requests.Timeout, requests.TooManyRedirects) as error:
        raise _unreached(shown, error) from error
    except (requests.RequestException, ValueError) as error:
        raise StepError(f"{shown} cannot be used ({reason(error)})") from error
    with opened:
        opened.raw.headers.pop("Content-Encoding", None)  # some servers compress all the same
        body = _body(opened, shown, most_bytes, most_seconds)
        try:
            yield Answer(shown, opened.status_code, opened.headers, body)
        except requests.RequestException as error:
            raise _unreached(shown, error) from error


def _body(
    opened: requests.Response, shown: str, most_bytes: int, most_seconds: float | None
) -> Iterator[bytes]:
    end = None if most_seconds is None else time.monotonic() + most_seconds
    count = 0
    stream = Attended(partial(_pieces, opened))
    try:
        while (chunk := stream.take(end)) is not None:
            count += len(chunk)
            if count > most_bytes:
                raise StepError(f"{shown} sends more than {units.size(most_bytes)}: refused")
            yield chunk
    except TooLateError as error:
        raise NetworkProblem(
            f"{shown} sends too slowly: {most_seconds:g} s were not enough"
        ) from error
    finally:
        stream.close()


def _pieces(opened: requests.Response) -> Iterator[bytes]:
    """The body as it comes; whole chunks only would let a slow server evade the limit of time."""
    import requests  # noqa: PLC0415 - heavy
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        while chunk := opened.raw.read1(_CHUNK):
            yield chunk
    except HTTPError as error:  # as requests itself says it of whole chunks
        raise requests.ConnectionError(type(error).__name__) from error


def _unreached(shown: str, error: Exception) -> NetworkProblem:
    return NetworkProblem(f"{shown} cannot be reached ({reason(error)})", "Check the network.")


def reason(error: Exception) -> str:
    """Why a request failed: the status, else the kind of error, never the client's own text."""
    answer = getattr(error, "response", None)
    return type(error).__name__ if answer is None else f"HTTP {answer.status_code}"


def without_secrets(url: str) -> str:
    """An address without name, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def unreachable(url: str) -> str:
    """Why the host behind an address, or the proxy before it, takes no connection; or nothing.

    Waits for at most five seconds.
    """
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        with socket.create_connection((parts.hostname or "", port), REACH_SECONDS):
            return ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
