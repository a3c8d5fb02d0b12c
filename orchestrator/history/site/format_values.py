"""Numbers, times and outside text as the pages show them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import PurePath

from orchestrator.base import units
from orchestrator.toolchain.upstream_urls import COMMIT

# Control characters have no meaning in a page, and those of writing direction can make a name
# look like another one. Colours of terminals are taken out whole.
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))


def plain(text: str) -> str:
    """Text without what cannot be shown or would change how other text is shown."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSHOWN.sub("\ufffd", _TERMINAL.sub("", text))


def moment(text: str) -> datetime | None:
    """A time of the history; None for an empty or strange one."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def seconds(text: str) -> float | None:
    """A time of the history in seconds since 1970."""
    found = moment(text)
    return None if found is None else found.timestamp()


def day(text: str) -> str:
    """``2026-11-26`` of a time."""
    return text[:10]


def minute(text: str) -> str:
    """``2026-11-26 02:00`` of a time."""
    return text[:16].replace("T", " ")


def between(start: str, end: str) -> float | None:
    """Seconds from one time to another; None when one is not known."""
    first, last = seconds(start), seconds(end)
    return None if first is None or last is None else max(0.0, last - first)


def duration(value: float | None) -> str:
    """Seconds for people; nothing for None."""
    return "" if value is None else units.duration(value)


def filename(path: str) -> str:
    """A file without its folders: where somebody keeps recipes is nobody else's business."""
    return PurePath(path).name


def rounded(value: float | None) -> str:
    """A number with about three digits; nothing for None."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}"


def change(share: float | None) -> str:
    """A relative change in percent, with its sign."""
    return "" if share is None else units.percent(share, sign=True)


def short(commit: str) -> str:
    """A commit as people name it."""
    return commit[:7] if COMMIT.fullmatch(commit) else commit[:12]


def size_unit(largest: float) -> tuple[float, str]:
    """The unit in which sizes up to this one are read best: bytes in it, and its name."""
    return next((one for one in SIZES if largest >= one[0]), SIZES[-1])
