"""Tell another machine how the night was: one POST, tried again, never fatal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from orchestrator.base.errors import NetworkProblem, OrchestrateError, UsageError
from orchestrator.base.interruptible_sleep import sleep
from orchestrator.base.step_values import JSON
from orchestrator.sources import http_client, retry_after

TRIES = 4
LONGEST_SECONDS = 120.0


def post(url: str, content: Mapping[str, JSON], sleep: Callable[[float], None] = sleep) -> str:
    """Send a night's JSON; an empty text, or why it could not be sent.

    The address is a secret of many services, so only its host is ever named.

    Args:
        url: Where to.
        content: What to send.
        sleep: Waits so many seconds between tries.
    """
    body = json.dumps(content).encode("utf-8")
    said = ""
    for attempt in range(TRIES):
        said, wait = _once(url, body)
        if wait is None:
            break
        if attempt < TRIES - 1:
            sleep(min(max(wait, 2.0**attempt), LONGEST_SECONDS))
    return f"the webhook at {_host(url)} did not get the summary: {said}" if said else ""


def require(url: str) -> None:
    """Check an address before a night of hours begins; it is a secret, so it is not shown.

    Raises:
        UsageError: Nothing can be posted there.
    """
    if url and not (url.lower().startswith(("http://", "https://")) and _host(url)):
        raise UsageError(
            "the address of --webhook is neither http nor https, or names no host",
            "Write it as https://HOST/PATH.",
        )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _once(url: str, body: bytes) -> tuple[str, float | None]:
    """Why it failed, empty if not; and seconds to wait, None when trying again is no use."""
    headers = {"Content-Type": "application/json"}
    try:
        # A redirect would turn the POST into a GET that says nothing.
        with http_client.asked(
            url, method="POST", headers=headers, content=body, name="the address", redirects=False
        ) as answer:
            status, answered = answer.status, answer.headers
    except OrchestrateError as error:
        return error.message, 0.0 if isinstance(error, NetworkProblem) else None
    if status < 300:
        return "", None
    again = status in retry_after.RETRIED_STATUS
    return f"it answers {status}", (retry_after.asked(answered) or 0.0) if again else None
