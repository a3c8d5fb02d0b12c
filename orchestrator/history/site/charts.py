"""Which pictures a recipe's page has, from its files; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.base import units
from orchestrator.history import FileRow
from orchestrator.history.site import format_values, scatter_chart, time_series, trend_chart
from orchestrator.history.site.scatter_chart import Axes, Dot, Level
from orchestrator.history.site.time_series import Runs, Value
from orchestrator.history.site.trend_chart import Time
from orchestrator.measures import differences, registry
from orchestrator.measures.definition import Measure, Number

_ABOUT = "Files on the line are beaten by no file in both; see the table for their errors."
_SPREAD = 8.0  # from here on a logarithmic axis shows more


@dataclass(frozen=True)
class Picture:
    """One drawing (SVG text) and what stands below it."""

    title: str
    drawing: str
    note: str = ""


def quality(
    rows: Sequence[FileRow],
    colours: Mapping[str, int],
    numbers: Sequence[registry.NumberOf] | None = None,
) -> Iterator[Picture]:
    """Each number of quality, or these, against size, for files that were measured."""
    name = time_series.full_type(rows)
    full = next((row for row in rows if row.type == name), None)
    files = [row for row in rows if row.type != name]
    for measure, number in registry.quality() if numbers is None else numbers:
        value = _scaled(measure, number)
        if all(value(row) is None for row in files):
            continue
        level = _level(full, measure, number)
        dashed = f" Dashed: {full.type}, the unquantized file." if level and full else ""
        what = _axis(number)
        if (measure, number) in registry.relative():
            what += f" from {name or 'the unquantized file'}"
        drawn = _against_size(
            f"{measure.name}-{number.name}",
            Axes("", what, higher=number.better == "higher"),
            files=files,
            value=value,
            colours=colours,
            level=level,
        )
        yield Picture(f"{number.heading} against size", drawn, f"{_ABOUT}{dashed}")


def _scaled(measure: Measure, number: Number, factor: float = 1.0) -> Value:
    """How a number is read for an axis: shares in percent, bytes in a unit of ``factor``."""
    plain = time_series.values((measure, number))
    factor = 0.01 if number.unit == "share" else factor

    def value(row: FileRow) -> float | None:
        found = plain(row)
        return None if found is None else found / factor

    return value


def _axis(number: Number) -> str:
    return f"{number.heading}, %" if number.unit == "share" else number.heading


def _level(full: FileRow | None, measure: Measure, number: Number) -> Level | None:
    value = _scaled(measure, number)(full) if full is not None else None
    if full is None or value is None:
        return None
    exact = full.numbers[measure.name]
    label = f"{full.type} {number.shown(exact[number.name] or 0)}, {units.size(full.size)}"
    error = differences.error_of(number, exact) or 0.0
    return Level(label, value, error * value / (exact[number.name] or 1))


def _against_size(
    ident: str,
    axes: Axes,
    *,
    files: Sequence[FileRow],
    value: Value,
    colours: Mapping[str, int],
    level: Level | None = None,
) -> str:
    measured = [(row, found) for row in files if (found := value(row)) is not None]
    factor, unit = format_values.size_unit(max(row.size for row, _ in measured))
    dots = [
        Dot(
            row.type,
            row.size / factor,
            found,
            f"{row.type}: {axes.y} {found:.6g}, {units.size(row.size)}",
            colours.get(row.type, 0),
        )
        for row, found in measured
    ]
    log = level is None and _spread([found for _, found in measured])
    drawn = replace(axes, x=f"Size, {unit}", log=log)
    return scatter_chart.draw(ident, f"{axes.y} against size", dots, drawn, level)


def _spread(values: Sequence[float]) -> bool:
    low, high = min(values, default=0.0), max(values, default=0.0)
    return low > 0 and high / low > _SPREAD


def over_time(runs: Runs, time: Time, colours: Mapping[str, int]) -> Iterator[Picture]:
    """What is watched over time and is not the machine's; only what was measured."""
    # The full file's size is so much larger that it would hide changes of the others.
    full = time_series.full_type(runs[-1][1]) if runs else ""
    small = [(one, [row for row in rows if row.type != full]) for one, rows in runs]
    sizes = [row.size for _, rows in small for row in rows]
    factor, unit = format_values.size_unit(max(sizes, default=0))
    for measure, number in registry.lasting():
        bytes_ = number.unit == "bytes"
        yield from _trend(
            f"t-{measure.name}-{number.name}",
            f"{number.heading}, {unit}" if bytes_ else _axis(number),
            number.heading,
            runs=small if bytes_ else runs,
            value=_scaled(measure, number, factor if bytes_ else 1.0),
            time=time,
            colours=colours,
        )


def speed_over_time(
    runs: Runs, time: Time, colours: Mapping[str, int], machine: Callable[[str], str]
) -> Iterator[Picture]:
    """Speeds, each machine for itself: numbers of different ones do not compare."""
    machines = time_series.by_machine(time_series.measured(runs))
    for place, (name, there) in enumerate(machines.items()):
        for measure, number in registry.speeds():
            yield from _trend(
                f"t-{measure.name}-{number.name}-{place}",
                f"{number.heading}, {number.unit}, {machine(name)}",
                number.heading,
                runs=there,
                value=time_series.values((measure, number)),
                time=time,
                colours=colours,
                steps=False,
            )


def _trend(
    ident: str,
    title: str,
    axis: str,
    *,
    runs: Runs,
    value: Value,
    time: Time,
    colours: Mapping[str, int],
    steps: bool = True,
) -> Iterator[Picture]:
    lines = time_series.lines(runs, value, colours, steps=steps)
    if lines:
        log = _spread([found for line in lines for _, found in line.points])
        yield Picture(title, trend_chart.draw(ident, title, axis, lines, time, log=log))
