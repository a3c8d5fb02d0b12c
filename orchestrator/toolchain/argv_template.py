"""Argument templates of verbs, filled with values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Argument = str | dict[str, Any]
_BELOW_A_PLACE = re.compile(r"\{\w+\}/")


def expand(template: Sequence[Argument], values: Mapping[str, Any]) -> list[str]:
    """Fill an argv template; see :class:`Verb` for its grammar."""
    argv: list[str] = []
    for item in template:
        if isinstance(item, str):
            argv.append(_filled(item, values))
        elif "if" in item:
            argv += expand(item["then"], values) if values.get(item["if"]) else []
        elif "unless" in item:
            argv += [] if values.get(item["unless"]) else expand(item["then"], values)
        else:
            argv += _repeat(item, values)
    return argv


def _filled(item: str, values: Mapping[str, Any]) -> str:
    """One argument; paths below a place get Windows' separator where programs end in .exe."""
    if values.get("exe") and _BELOW_A_PLACE.match(item):
        item = item.replace("/", "\\")
    return item.format_map(values)


def _repeat(item: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    several = values.get(item["each"]) or ()
    pairs = several.items() if isinstance(several, Mapping) else enumerate(several)
    argv: list[str] = []
    for name, value in pairs:
        argv += expand(item["then"], {**values, "key": name, "item": value})
    return argv
