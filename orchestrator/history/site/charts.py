"""Which pictures a recipe's page has, from its files; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.base import units
from orchestrator.history import FileRow
from orchestrator.history.site import format_values, scatter_chart, time_series, trend_chart
from orchestrator.history.site.scatter_chart import Axes, Dot, Level
from orchestrator.history.site.time_series import Runs, Value
from orchestrator.history.site.trend_chart import Time

_SPREAD = 8.0  # from here on a logarithmic axis shows more


@dataclass(frozen=True)
class Picture:
    """One drawing (SVG text) and what stands below it."""

    title: str
    drawing: str
    note: str = ""


def quality(rows: Sequence[FileRow], colours: Mapping[str, int]) -> Iterator[Picture]:
    """Perplexity and divergence against size, for files that were measured."""
    name = time_series.full_type(rows)
    full = next((row for row in rows if row.type == name), None)
    files = [row for row in rows if row.type != name]
    about = "No file is both smaller and better than one on the line."
    if any(time_series.perplexity(row) is not None for row in files):
        level = _level(full)
        note = f"{about} Dashed: {full.type}, the unquantized file." if level and full else about
        drawn = _against_size(
            "ppl",
            "Perplexity",
            files=files,
            value=time_series.perplexity,
            colours=colours,
            level=level,
        )
        yield Picture("Perplexity against size", drawn, note)
    if any(time_series.kld(row) is not None for row in files):
        title = f"Mean KL divergence from {name or 'the unquantized file'}"
        drawn = _against_size("kld", title, files=files, value=time_series.kld, colours=colours)
        yield Picture("KL divergence against size", drawn, about)


def _level(full: FileRow | None) -> Level | None:
    value = time_series.perplexity(full) if full is not None else None
    if full is None or value is None:
        return None
    label = f"{full.type} {value:.4f}, {units.size(full.size)}"
    return Level(label, value, full.perplexity_error or 0.0)


def _against_size(
    ident: str,
    what: str,
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
            f"{row.type}: {what} {found:.6g}, {units.size(row.size)}",
            colours.get(row.type, 0),
        )
        for row, found in measured
    ]
    log = level is None and _spread([found for _, found in measured])
    title = f"{what} against size"
    return scatter_chart.draw(ident, title, dots, Axes(f"Size, {unit}", what, log), level)


def _spread(values: Sequence[float]) -> bool:
    low, high = min(values, default=0.0), max(values, default=0.0)
    return low > 0 and high / low > _SPREAD


def over_time(runs: Runs, time: Time, colours: Mapping[str, int]) -> Iterator[Picture]:
    """Perplexity, divergence and size; only what was measured."""
    # The full file's size is so much larger that it would hide changes of the others.
    full = time_series.full_type(runs[-1][1]) if runs else ""
    sizes = [row.size for _, rows in runs for row in rows if row.type != full]
    factor, unit = format_values.size_unit(max(sizes, default=0))

    def size(row: FileRow) -> float | None:
        return None if row.type == full else row.size / factor

    wanted: tuple[tuple[str, str, str, Value], ...] = (
        ("t-ppl", "Perplexity", "Perplexity", time_series.perplexity),
        ("t-kld", "KL divergence, mean", "Mean KL divergence", time_series.kld),
        (
            "t-size",
            f"Size, {unit}",
            "Size",
            size,
        ),
    )
    for ident, title, axis, value in wanted:
        yield from _trend(ident, title, axis, runs=runs, value=value, time=time, colours=colours)


def speed_over_time(
    runs: Runs, time: Time, colours: Mapping[str, int], machine: Callable[[str], str]
) -> Iterator[Picture]:
    """Speeds, each machine for itself: numbers of different ones do not compare."""
    for number, (name, there) in enumerate(
        time_series.by_machine(time_series.measured(runs)).items()
    ):
        for ident, what, value in (
            ("t-prompt", "Prompt", time_series.prompt),
            ("t-gen", "Generation", time_series.generation),
        ):
            yield from _trend(
                f"{ident}-{number}",
                f"{what}, tokens/s, {machine(name)}",
                f"{what} speed",
                runs=there,
                value=value,
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
