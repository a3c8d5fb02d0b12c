"""Limits on answers that the Hub's client reads itself, which is all it is told while it writes.

The client takes an answer of any length and time. Its session lets a hook see each answer before
its body is read, so the limits of answers.py hold there too. No hook sees an answer whose headers
come without end: so threads send the requests, and wait no longer than that for headers.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from orchestrator.base.errors import NetworkProblem, OrchestrateError
from orchestrator.base.process import run_process
from orchestrator.sources.attended_stream import Attended, TooLateError
from orchestrator.sources.http_client import without_secrets
from orchestrator.sources.hub import answers
from orchestrator.sources.hub.read_errors import Where, causes

# Without a byte; a storage needs a while to look at a large file that it was sent.
_SILENT_SECONDS = 300.0
MOST_HEAD_SECONDS = 2 * _SILENT_SECONDS  # for a connection, or all headers of an answer
# Large files are sent, and bodies of answers have limits of their own.
_UNLIMITED = ("send_request_body.started", "receive_response_headers.complete")
_PLAIN = ("", "identity")


@contextmanager
def bounded(where: Where, session: Any) -> Iterator[None]:
    """Let the client's session refuse what is too long, too slow or compressed."""
    hooks, timeout, coding = (
        session.event_hooks,
        session.timeout,
        session.headers.get("Accept-Encoding"),
    )
    limit, send = partial(_limit, where), session.send
    session.send = partial(_sent, where, send)
    session.event_hooks = {**hooks, "response": [*hooks.get("response", ()), limit]}
    session.timeout = _SILENT_SECONDS
    session.headers["Accept-Encoding"] = "identity"
    try:
        yield
    finally:
        session.event_hooks, session.timeout, session.send = hooks, timeout, send
        session.headers["Accept-Encoding"] = coding


class _Patience:
    """How long an exchange may take that the client's HTTP library tells of, step by step."""

    def __init__(self) -> None:
        self.note("started", {})

    def note(self, event: str, _about: object) -> None:
        """The library's callback: what begins or ends now."""
        self._end = math.inf if event.endswith(_UNLIMITED) else time.monotonic() + MOST_HEAD_SECONDS

    def check(self) -> None:
        """Raise TooLateError when it is over."""
        run_process.check_stopped()
        if time.monotonic() > self._end:
            raise TooLateError


def _sent(where: Where, send: Callable[..., Any], request: Any, **how: Any) -> Any:
    """The session's answer to a request."""
    patience = _Patience()
    request.extensions = {**request.extensions, "trace": patience.note}
    work = Attended(lambda: iter((send(request, **how),)))
    try:
        return work.take(None, patience.check)
    except TooLateError as error:
        raise _too_slow(where, str(request.url)) from error
    finally:
        work.close()


def _limit(where: Where, response: Any) -> None:
    url = str(response.url)
    if response.headers.get("Content-Encoding", "").strip().lower() not in _PLAIN:
        raise answers.strange(where, url, "it is compressed, which nobody asked for")
    response.stream = _limited(response.stream, where, url)


def _limited(stream: Any, where: Where, url: str) -> Any:
    """The same stream, of at most so many bytes and seconds."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # noqa: PLC0415

    # Of the client's HTTP library, httpx or httpx2.
    base: Any = sys.modules[HTTPError.__module__.partition(".")[0]].SyncByteStream

    class Limited(base):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            size, end = 0, time.monotonic() + answers.MOST_JSON_SECONDS
            for chunk in stream:
                size += len(chunk)
                answers.require_small(where, url, size, answers.MOST_JSON_BYTES)
                if time.monotonic() > end:
                    raise _too_slow(where, url)
                yield chunk

        def close(self) -> None:
            stream.close()

    return Limited()


def _too_slow(where: Where, url: str) -> NetworkProblem:
    return NetworkProblem(
        f"The Hub at {where.shown} answers too slowly: {without_secrets(url)} was not there in "
        "time.",
        "Publish again later.",
    )


@contextmanager
def understood(
    where: Where, url: str, known: Callable[[BaseException, Where], object]
) -> Iterator[None]:
    """Say of answers that the client stumbles over that they are none of a Hub's.

    Args:
        where: What the answers are about.
        url: What is asked for.
        known: Tells whether an error has a meaning of its own; then it is raised as it is.
    """
    try:
        yield
    except OrchestrateError:
        raise
    except Exception as error:
        ours = any(isinstance(one, OrchestrateError) for one in causes(error))
        if ours or known(error, where) is not None:
            raise
        what = f"the client cannot read it ({type(error).__name__})"
        raise answers.strange(where, url, what) from error
