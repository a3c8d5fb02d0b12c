"""Numbers as people read and write them.

Sizes are shown in decimal units (SI: 1 GB is 10^9 bytes), as the Hub and publishers state them.
"""

from __future__ import annotations

import re
from decimal import Decimal

from orchestrator.base.errors import UsageError

LARGEST = 2**63 - 1  # of a file (off_t)
_UNITS = ("B", "kB", "MB", "GB", "TB")
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*(?:([kKMGT])(i?))?B?")


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
    """Bytes of ``50G``, ``50GB``, ``1.5 GB``, ``50GiB`` or ``1000``, for recipes and options.

    Raises:
        UsageError: It is not a size, negative, or more than a file can have.
    """
    found = _SIZE.fullmatch(text.strip())
    count = _bytes(*found.groups()) if found else None
    if count is None or count > LARGEST:
        raise UsageError(
            f"{text[:40]!r} is not a size: write bytes or a unit, such as 1000, '50G', "
            "'50 GB' or '50GiB'"
        )
    return count


def _bytes(number: str, unit: str | None, binary: str | None) -> int | None:
    """A fraction of a byte is a forgotten unit."""
    power = "KMGT".index(unit.upper()) + 1 if unit else 0
    count = Decimal(number) * (1024 if binary else 1000) ** power
    return round(count) if unit or count == int(count) else None


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


def percent(share: float, digits: int = 2, *, sign: bool = False) -> str:
    """A share of 1 as ``8.00 %``, with ``sign`` as ``+8.00 %``; zero never has a minus."""
    rounded = round(share * 100, digits) + 0.0  # which is 0.0 for -0.0 too
    return f"{rounded:{'+' if sign else ''}.{digits}f} %"


def plural(count: int, word: str, many: str = "") -> str:
    """``1 file``, ``2 files``; ``many`` is the plural of words that take no s."""
    return f"{count} {word}" if count == 1 else f"{count} {many or f'{word}s'}"
