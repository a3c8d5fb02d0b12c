"""Which header keys are not the same in two files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from orchestrator.modelfiles.comparing.byte_ranges import Range, sha256
from orchestrator.modelfiles.comparing.comparison import KeyChange, Shown
from orchestrator.modelfiles.comparing.opened_files import Entry, Opened

SHOWN = 80  # characters of a value
_LEAD = 20  # of them, those before the first difference


def changed_keys(a: Opened, b: Opened) -> tuple[KeyChange, ...]:
    """The keys that were added, removed or changed on the way from A to B, by name.

    Arrays are compared by count and by the SHA-256 of their bytes, which is also shown.
    """
    return tuple(_changes(a, b))


def _changes(a: Opened, b: Opened) -> Iterator[KeyChange]:
    for key in sorted(a.entries.keys() | b.entries.keys()):
        left, right = a.entries.get(key), b.entries.get(key)
        if left is None or right is None:
            yield KeyChange(key, show(left) if left else None, show(right) if right else None)
        elif left.count is not None and right.count is not None:
            shown = show(left), show(right)
            if shown[0] != shown[1]:
                yield KeyChange(key, *shown)
        elif _value(left) != _value(right):
            at = _first_difference(_value(left)[1], _value(right)[1])
            yield KeyChange(key, show(left, at), show(right, at))


def show(entry: Entry, at: int = 0) -> Shown:
    """A value for people; a long one is cut to the part around its character ``at``."""
    if entry.count is None:
        return Shown(entry.type, _shorten(_value(entry)[1], at))
    digest = sha256(Range(entry.path, entry.offset, entry.nbytes))
    return Shown(entry.type, "", entry.count, digest)


def _value(entry: Entry) -> tuple[str, str]:
    # As text, in which two NaNs are equal and -0.0 is not 0.0; repr of a float is exact.
    value = entry.value
    return entry.type, value if isinstance(value, str) else repr(value)


def _first_difference(a: str, b: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _shorten(text: str, at: int) -> str:
    if len(text) <= SHOWN:
        return text
    start = max(0, min(at - _LEAD, len(text) - SHOWN))
    lead, tail = "…" if start else "", "…" if start + SHOWN < len(text) else ""
    return f"{lead}{text[start : start + SHOWN]}{tail} ({len(text)} characters)"
