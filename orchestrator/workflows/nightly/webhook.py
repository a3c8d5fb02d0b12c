"""Tell another machine how the night was: one POST, tried again, never fatal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from orchestrator.base.interruptible_sleep import rest
from orchestrator.base.step_values import JSON
from orchestrator.sources import retry_after

TRIES = 4
LONGEST_SECONDS = 120.0
_TIMEOUT = 30


def post(url: str, content: Mapping[str, JSON], rest: Callable[[float], None] = rest) -> str:
    """Send a night's JSON; an empty text, or why it could not be sent.

    The address is a secret of many services, so only its host is ever named.

    Args:
        url: Where to.
        content: What to send.
        rest: Waits so many seconds between tries.
    """
    host = _host(url) or "the webhook"
    body = json.dumps(content).encode("utf-8")
    said = ""
    for attempt in range(TRIES):
        said, wait = _once(url, body)
        if wait is None:
            break
        if attempt < TRIES - 1:
            rest(min(max(wait, 2.0**attempt), LONGEST_SECONDS))
    return f"{host} was not told of this night: {said}" if said else ""


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _once(url: str, body: bytes) -> tuple[str, float | None]:
    """Why it failed, empty if not; and seconds to wait, None when trying again is no use."""
    import requests  # noqa: PLC0415 - heavy

    headers = {"Content-Type": "application/json", "User-Agent": "orchestrate"}
    try:
        # A redirect would turn the POST into a GET that tells nothing.
        answer = requests.post(
            url, data=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False
        )
    except requests.ConnectionError:
        return "it cannot be reached", 0.0
    except requests.Timeout:
        return f"it did not answer in {_TIMEOUT} s", 0.0
    except (requests.RequestException, ValueError) as error:
        return f"the address cannot be used ({type(error).__name__})", None
    if answer.status_code < 300:
        return "", None
    again = answer.status_code in retry_after.RETRIED_STATUS
    wait = (retry_after.asked(answer.headers) or 0.0) if again else None
    return f"it answers {answer.status_code}", wait
