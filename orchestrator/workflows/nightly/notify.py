"""Tell people how the night was: chats, mail and the many other ways of Apprise; never fatal."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.base.errors import UsageError
from orchestrator.history import History, run_states

if TYPE_CHECKING:
    from apprise import Apprise

ALWAYS, BAD = "always", "bad"
WHEN = (BAD, ALWAYS)


def opened(addresses: Sequence[str]) -> Apprise | None:
    """Who is told, checked before a night of hours begins; None without addresses.

    Addresses are secrets of many services: they are named by their place only.

    Raises:
        UsageError: Apprise is not installed, or does not know an address.
    """
    if not addresses:
        return None
    try:
        from apprise import Apprise  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise UsageError(
            "--notify needs Apprise, which is not installed",
            "Install it with: pip install 'orchestrate-gguf[notify]'",
        ) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would print addresses
    found = Apprise()
    for place, address in enumerate(addresses, 1):
        if not found.add(address):
            raise UsageError(
                f"address {place} of --notify is none that Apprise knows",
                "It looks like 'ntfy://ntfy.sh/TOPIC' or 'json://HOST/PATH'; Apprise's "
                "documentation lists what there is.",
            )
    return found


def title(history: History, state: str, when: str, night: int = 0) -> str:
    """What a message is called; empty when none is due.

    Args:
        history: Of all nights, this one included.
        state: Of the night that is over.
        when: ``always``; or ``bad``, for nights that need attention and for the first one after
            such a night that does not.
        night: Its number; 0 when it got none.
    """
    bad = run_states.of(state).needs_attention
    earlier = [one for one in history.nights(2, brief=True) if one.id != night]
    again = not bad and bool(earlier) and run_states.of(earlier[0].state).needs_attention
    if when == BAD and not (bad or again):
        return ""
    name = f"Night {night}" if night else "No night"
    return f"{name}: {run_states.label(state)}{' again' if again else ''}"


def send(people: Apprise, called: str, text: str) -> str:
    """Send Markdown to all of them; an empty text, or that some did not get it."""
    sent = people.notify(body=text, title=called, body_format="markdown")
    return "" if sent else "not everybody of --notify got the summary"
