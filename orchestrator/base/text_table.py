"""Columns of text for terminals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.base import terminal_colours


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns of text, those in ``right`` aligned to the right."""
    lines = [list(titles), *(list(row) for row in rows)]
    widths = [max(map(terminal_colours.width, column)) for column in zip(*lines, strict=True)]
    shown = []
    for line in lines:
        cells = []
        for index, (text, width) in enumerate(zip(line, widths, strict=True)):
            gap = " " * (width - terminal_colours.width(text))
            cells.append(gap + text if index in right else text + gap)
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)
