"""A session of requests that reads no more than was agreed, for clients that read whole answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from orchestrator.base import units
from orchestrator.base.errors import EnvironmentProblem

_CHUNK = 1 << 16


class _Bounded(HTTPAdapter):
    """Reads no body of a redirect, and of what is not streamed at most so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most = most_bytes

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, *rest: Any, **more: Any
    ) -> requests.Response:
        """As the session asks for it."""
        answer = super().send(request, True, *rest, **more)
        if answer.is_redirect:
            self._keep(answer, b"")
            answer.close()
        elif not stream:
            self._keep(answer, self._whole(answer))
        return answer

    def _whole(self, answer: requests.Response) -> bytes:
        body = bytearray()
        with answer:
            for chunk in answer.iter_content(_CHUNK):  # unpacked, so that no bomb is too long
                body += chunk
                if len(body) > self._most:
                    raise EnvironmentProblem(
                        f"{urlsplit(answer.url).hostname} sends more than "
                        f"{units.size(self._most)} where a page was asked for",
                        "Ask another server.",
                    )
        return bytes(body)

    @staticmethod
    def _keep(answer: requests.Response, content: bytes) -> None:
        # requests has no public way to give an answer its body.
        answer._content, answer._content_consumed = content, True  # type: ignore[attr-defined]


def session(most_bytes: int) -> requests.Session:
    """A session whose answers have at most ``most_bytes``, but for those that are streamed."""
    made = requests.Session()
    made.headers["User-Agent"] = "orchestrate"
    for scheme in ("https://", "http://"):
        made.mount(scheme, _Bounded(most_bytes))
    return made
