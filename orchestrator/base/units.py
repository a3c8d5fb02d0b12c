"""Numbers as people read them."""

from __future__ import annotations

import re

from orchestrator.base.errors import UsageError

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(count: float) -> str:
    """Bytes in decimal units with three digits: ``3.91 GB``."""
    value, unit = float(count), 0
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{value:.0f} B"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def parse_size(text: str) -> int:
    """Bytes of ``50GB``, ``50G``, ``1.5 GiB`` or ``1000``.

    Raises:
        UsageError: It is not a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kKMGT])(i?))?B?", text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a size", "Write bytes, '50GB' or '50GiB'.")
    power = "kMGT".index(found[2].replace("K", "k")) + 1 if found[2] else 0
    factor: int = (1024 if found[3] else 1000) ** power
    return round(float(found[1]) * factor)


def duration(seconds: float) -> str:
    """Seconds as ``0.4 s``, ``12 s``, ``3 min 52 s`` or ``2 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def plural(count: int, word: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
