"""The numbers of one recipe's files over its runs: lines, changes, speeds; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from orchestrator.history import FileRow
from orchestrator.history.site import format_values
from orchestrator.history.site.read_history import Entry
from orchestrator.history.site.trend_chart import Line, Mark, Time
from orchestrator.measures import registry, timing
from orchestrator.measures.definition import Number
from orchestrator.measures.registry import NumberOf

Value = Callable[[FileRow], float | None]
Runs = Sequence[tuple[Entry, Sequence[FileRow]]]


@dataclass(frozen=True)
class Change:
    """What became of one file in one run, against the one before: pairs of texts by column."""

    entry: Entry
    file: FileRow
    since: Entry
    details: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Spread:
    """Values of several runs."""

    newest: float
    median: float
    least: float
    most: float
    runs: int


@dataclass(frozen=True)
class Speed:
    """How fast the files of one type were on one machine, in all runs there.

    ``spreads`` are in the order of :func:`registry.speeds`; None where that was not measured.
    """

    type: str
    machine: str
    spreads: tuple[Spread | None, ...]

    @property
    def runs(self) -> int:
        """In how many runs it was measured."""
        return max(one.runs for one in self.spreads if one)


def _finite(value: float | None) -> float | None:
    """A number that has a place on an axis; a broken model's perplexity can be infinite."""
    return value if value is not None and math.isfinite(value) else None


def values(of: NumberOf) -> Value:
    """How a number is read from a file."""
    measure, number = of
    return lambda row: _finite(row.number(measure.name, number.name))


def in_order(entries: Sequence[Entry], files: Mapping[int, Sequence[FileRow]]) -> Runs:
    """Runs that have files, the oldest first."""
    return [(one, files[one.run.id]) for one in reversed(entries) if files.get(one.run.id)]


def types(runs: Runs) -> dict[str, int]:
    """The names of all files' types with the number of each one's colour.

    Those of the newest run come first, in its order.
    """
    rows = [row.type for _, rows in reversed(runs) for row in rows]
    return {name: number for number, name in enumerate(dict.fromkeys(rows))}


def full_type(rows: Sequence[FileRow]) -> str:
    """The type of the unquantized file, which others are compared with; empty without one.

    A report says so in its name; in the history it is the one that is compared with nothing.
    """
    against = [values(of) for of in registry.relative()]
    alone = [row for row in rows if all(value(row) is None for value in against)]
    marked = [row for row in rows if row.full]
    found = marked or (alone if len(alone) == 1 < len(rows) else [])
    return found[0].type if found else ""


def measured(runs: Runs) -> Runs:
    """The same without rows whose numbers were only carried over from the run before."""
    last: dict[tuple[str, str], tuple[float | None, ...]] = {}
    timed = [values(of) for of in registry.speeds()]
    found = []
    for entry, rows in runs:
        kept = []
        for row in rows:
            place = (entry.run.machine, row.type)
            numbers = tuple(value(row) for value in timed)
            if row.fresh or last.get(place) != numbers:
                kept.append(row)
            last[place] = numbers
        found.append((entry, kept))
    return found


def carried(rows: Sequence[FileRow]) -> str:
    """A sentence about numbers of the machine that are of an earlier run; empty without any."""
    names = [one.name for one in timing.timed()]
    there = {row.type: [name for name in names if row.numbers.get(name)] for row in rows}
    old = [row.type for row in rows if there[row.type] and not row.fresh]
    if not old:
        return ""
    what = " and ".join(name for name in names if any(name in there[one] for one in old))
    return f"{what[:1].upper()}{what[1:]} of {', '.join(old)}: measured in an earlier run."


def named(rows: Sequence[FileRow]) -> bool:
    """Whether the name of every file tells its type."""
    return all(row.type in row.file for row in rows)


def lines(
    runs: Runs, value: Value, colours: Mapping[str, int], *, steps: bool = True
) -> list[Line]:
    """A line for every type that has this value."""
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in colours}
    for entry, rows in runs:
        at = format_values.seconds(entry.run.started)
        for row in rows:
            found = value(row)
            if found is not None and at is not None:
                points[row.type].append((at, found))
    return [
        Line(name, tuple(found), colours[name], steps) for name, found in points.items() if found
    ]


def time(entries: Sequence[Entry]) -> Time | None:
    """What the charts share; ``entries`` the newest first. None when no time is known."""
    known = [(format_values.seconds(one.run.started), one) for one in reversed(entries)]
    timed = [(at, one) for at, one in known if at is not None]
    if not timed:
        return None
    failures = tuple(at for at, one in timed if one.run.state in ("failed", "interrupted"))
    return Time(timed[0][0], timed[-1][0], tuple(_marks(timed)), failures)


def _marks(timed: Sequence[tuple[float, Entry]]) -> Iterator[Mark]:
    """One mark for each stretch of runs with the same commit, or for an alarm within one."""
    before = ""
    speeds = {number.alarm.key for _, number in registry.speeds() if number.alarm}
    for at, one in timed:
        alarmed = any(alarm.what not in speeds for alarm in one.alarms)
        if one.run.commit and (one.run.commit != before or alarmed):
            yield Mark(at, format_values.short(one.run.commit), alarmed)
        before = one.run.commit or before


def changes(runs: Runs) -> list[Change]:
    """Where a file's bytes or numbers became others, the newest first; speeds left out."""
    found: list[Change] = []
    last: dict[str, tuple[Entry, FileRow]] = {}
    for entry, rows in runs:
        for row in rows:
            if row.file in last:
                since, before = last[row.file]
                changes = tuple(_changed(since.run.id, before, row))
                if changes:
                    found.append(Change(entry, row, since, changes))
            last[row.file] = (entry, row)
    return found[::-1]


def _changed(since: int, before: FileRow, after: FileRow) -> Iterator[tuple[str, str, str]]:
    if before.sha256 != after.sha256 and after.sha256 and before.sha256:
        # The verdict is about the last good night's bytes, which can be older ones.
        if after.against == since and after.verdict:
            yield "bytes", after.verdict, after.note
        else:
            good = f"against the last good night: {after.verdict}" if after.verdict else ""
            yield "bytes", "others", good
    for measure, number in registry.lasting():
        old, new = (one.number(measure.name, number.name) for one in (before, after))
        if old is not None and new is not None and old != new:
            yield number.title, _from_to(number, old, new), ""


def _from_to(number: Number, old: float, new: float) -> str:
    if number.unit == "share":
        return f"{number.shown(old)} → {number.shown(new)}"
    share = f" ({format_values.change(new / old - 1)})" if old else ""
    if number.unit == "bytes":
        return f"{old:,} → {new:,} bytes{share}"
    return f"{number.shown(old)} → {number.shown(new)}{share}"


def by_machine(runs: Runs) -> dict[str, Runs]:
    """The runs of each machine, in the order of the machines' first runs."""
    found: dict[str, list[tuple[Entry, Sequence[FileRow]]]] = {}
    for entry, rows in runs:
        found.setdefault(entry.run.machine, []).append((entry, rows))
    return dict(found)


def speeds(runs: Runs) -> Iterator[Speed]:
    """How fast the files of each type were on each machine."""
    for machine, there in by_machine(measured(runs)).items():
        rows: dict[str, list[FileRow]] = {}
        for _, files in there:
            for row in files:
                rows.setdefault(row.type, []).append(row)
        for name, found in rows.items():
            spreads = tuple(_spread(found, values(of)) for of in registry.speeds())
            if any(spreads):
                yield Speed(name, machine, spreads)


def _spread(rows: Sequence[FileRow], value: Value) -> Spread | None:
    found = [one for row in rows if (one := value(row)) is not None]
    if not found:
        return None
    return Spread(found[-1], median(found), min(found), max(found), len(found))
