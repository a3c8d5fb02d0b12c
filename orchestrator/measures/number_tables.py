"""What was measured of several files as a table, for reports, terminals, cards and pages; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.measures import further_texts, registry
from orchestrator.measures.definition import Column, Place
from orchestrator.measures.file_numbers import Numbered


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the number that it is sorted by."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """Titles, and a line of cells a file; columns that would be empty are left out."""

    titles: tuple[str, ...]
    lines: tuple[tuple[Cell, ...], ...]

    @property
    def texts(self) -> list[list[str]]:
        """The lines without what they are sorted by."""
        return [[cell.text for cell in line] for line in self.lines]


def table(rows: Sequence[Numbered], place: Place, full: str = "F16") -> Table:
    """The columns of one place.

    Args:
        rows: The files.
        place: Which table it is for.
        full: What the full file is called.
    """
    columns = [
        (column.title.format(full=full), [_cell(column, measure.name, row) for row in rows])
        for measure in registry.measures(
            further_texts.of(name for row in rows for name in row.numbers)
        )
        for column in measure.columns
        if place in column.places
    ]
    used = [(title, cells) for title, cells in columns if any(cell.text for cell in cells)]
    lines = tuple(tuple(cells[at] for _, cells in used) for at in range(len(rows)))
    return Table(tuple(title for title, _ in used), lines)


def _cell(column: Column, measure: str, row: Numbered) -> Cell:
    found = row.numbers.get(measure)
    return Cell(column.cell(found), found.get(column.number)) if found else Cell("")
