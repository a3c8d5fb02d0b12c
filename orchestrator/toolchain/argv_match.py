"""Which words of a recorded command stand for the machine and not for the work; pure.

A tool's number of threads changes no byte of what it makes, so commands that differ in it
alone are the same. The verb's template tells which words those are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLACE = re.compile(r"(\{\w+\})")
_MACHINE = "{threads}"


def neutral(template: Sequence[Any], argv: Sequence[str]) -> list[str] | None:
    """``argv`` with ``{threads}`` where its template has that; None if it is not of it.

    Args:
        template: An argv template of a tool chain's verb.
        argv: A command as it was recorded, with places instead of paths.
    """
    found = re.fullmatch(_Shape().pattern(template), "".join(f"{word}\0" for word in argv))
    if found is None:
        return None
    text = found.string
    for name in sorted(found.groupdict(), key=lambda one: -found.start(one)):
        if found.group(name) is not None:
            text = text[: found.start(name)] + _MACHINE + text[found.end(name) :]
    return text.split("\0")[:-1]


class _Shape:
    """A template as a regular expression over words that end with NUL."""

    def __init__(self) -> None:
        self._groups = 0

    def pattern(self, template: Sequence[Any]) -> str:
        """The expression of a template, or of a part of one."""
        return "".join(
            self._word(item) if isinstance(item, str) else self._optional(item) for item in template
        )

    def _optional(self, item: Mapping[str, Any]) -> str:
        return f"(?:{self.pattern(item['then'])}){'*' if 'each' in item else '?'}"

    def _word(self, item: str) -> str:
        parts = (self._part(part) for part in _PLACE.split(item) if part)
        return "".join(parts) + "\0"

    def _part(self, part: str) -> str:
        if not _PLACE.fullmatch(part):
            return re.escape(part)
        if part != _MACHINE:
            return "[^\0]*"
        self._groups += 1
        return f"(?P<machine{self._groups}>[^\0]*)"
