"""Columns of text for terminals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns of text, those in ``right`` aligned to the right."""
    lines = [list(titles), *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(titles))]
    shown = []
    for line in lines:
        cells = [
            text.rjust(width) if index in right else text.ljust(width)
            for index, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)
