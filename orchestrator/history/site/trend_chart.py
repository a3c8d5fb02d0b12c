"""Values over time: a line a file, the upstream's commits below, alarms and failures marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from orchestrator.history.site import chart_scales, label_placement, svg
from orchestrator.history.site.chart_scales import Scale

WIDE = 600.0
_TOP, _BOTTOM = 18.0, 54.0
_MOST_LINES = 12  # more upright lines than these are a grey field
_MOST_DOTS = 40
_LEAST_SECONDS = 36 * 3600.0
_DAY_STEPS = (1, 2, 7, 14)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60)


@dataclass(frozen=True)
class Line:
    """One file's values: (seconds since 1970, value), the oldest first.

    With ``steps`` a value holds until it changes, and changes are marked by dots.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    steps: bool = True


@dataclass(frozen=True)
class Mark:
    """Since when a commit is used; ``alarm`` when an alarm was raised there."""

    at: float
    text: str
    alarm: bool = False


@dataclass(frozen=True)
class Time:
    """What all charts of one page share below: from when to when, commits, failed runs."""

    start: float
    end: float
    marks: tuple[Mark, ...] = ()
    failures: tuple[float, ...] = ()


def changes(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The first point, those that differ from the one before, and the last."""
    kept = [p for n, p in enumerate(points) if n == 0 or p[1] != points[n - 1][1]]
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return kept


def corners(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points without those that lie between two with the same value."""
    last = len(points) - 1
    return [
        point
        for n, point in enumerate(points)
        if n in (0, last) or not points[n - 1][1] == point[1] == points[n + 1][1]
    ]


def draw(
    ident: str, title: str, unit: str, lines: Sequence[Line], time: Time, *, log: bool = False
) -> str:
    """The picture.

    Args:
        ident: Its name in the page.
        title: What it shows.
        unit: What the values are.
        lines: The files.
        time: What is below.
        log: Use a logarithmic axis, when all values are above zero.
    """
    names = max((label_placement.width(line.name) for line in lines), default=0.0)
    high = max(250.0, _TOP + _BOTTOM + 15.0 * len(lines))
    foot, right = high - _BOTTOM, WIDE - names - 22
    values = [value for line in lines for _, value in line.points]
    start, end = _span(time)
    y = chart_scales.fitted(values, foot, _TOP, log=log, pad=0.08)
    x = Scale(start, end, label_placement.margin(y.tick_labels(5)), right)
    description = (
        f"{unit} of {', '.join(line.name for line in lines)} over time, with the commits of the "
        "tool chain. Changes are listed in the tables of this page."
    )
    parts = [
        *_grid(x, y),
        *_commits(time, x, foot),
        *_dates(x, foot),
        svg.line(x.start, foot, right, foot, "axis"),
        *(part for line in lines for part in _line(line, x, y)),
        *_failures(time, x, foot),
        *_names(lines, x, y, foot),
    ]
    return svg.drawing(ident, title, description, WIDE, high, *parts)


def _span(time: Time) -> tuple[float, float]:
    """From when to when, with some room at both ends: a day and a half at least in all."""
    span = time.end - time.start
    margin = max(span * 0.015, (_LEAST_SECONDS - span) / 2)
    return time.start - margin, time.end + margin


def _grid(x: Scale, y: Scale) -> list[str]:
    up = y.ticks(5)
    parts = [svg.line(x.start, y.at(value), x.end, y.at(value), "grid") for value in up]
    return parts + [
        svg.words(x.start - 8, y.at(value) + 4, label, "tick", "end")
        for value, label in zip(up, y.tick_labels(5), strict=True)
    ]


def _dates(x: Scale, foot: float) -> list[str]:
    parts = []
    for at in days(x.low, x.high):
        place = x.at(at)
        parts.append(svg.line(place, foot, place, foot + 4, "axis"))
        day = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d")
        parts.append(svg.words(place, foot + 18, day, "tick", "middle"))
    return parts


def days(start: float, end: float, most: int = 6) -> list[float]:
    """Midnights (UTC) to label from start to end, at even steps of days or months."""
    first = datetime.fromtimestamp(start, timezone.utc) + timedelta(days=1)
    first = first.replace(hour=0, minute=0, second=0, microsecond=0)
    span = (end - start) / 86400
    step = next((one for one in _DAY_STEPS if span / one <= most), None)
    if step is not None:
        found = [first.timestamp() + number * step * 86400.0 for number in range(most + 1)]
        return [at for at in found if start <= at <= end]
    months = next((one for one in _MONTH_STEPS if span / (one * 30.4) <= most), _MONTH_STEPS[-1])
    every = [
        datetime(year, month, 1, tzinfo=timezone.utc).timestamp()
        for year in range(first.year, datetime.fromtimestamp(end, timezone.utc).year + 1)
        for month in range(1, 13, min(months, 12))
        if months <= 12 or year % (months // 12) == 0
    ]
    return [at for at in every if start <= at <= end]


def _commits(time: Time, x: Scale, foot: float) -> list[str]:
    """A tick where a commit begins, a line through the plot, names where there is room."""
    places = [x.at(mark.at) for mark in time.marks]
    alarms = [number for number, mark in enumerate(time.marks) if mark.alarm]
    newest = [len(places) - 1] if places else []
    shown = label_placement.thinned(places, 58.0, [*reversed(alarms), *newest])
    few = len(places) <= _MOST_LINES
    parts = [svg.strokes(places, foot + 24, foot + 29, "axis")] if places else []
    if few and places:
        parts.append(svg.strokes(places, _TOP - 4, foot, "commit"))
    if alarms:
        marked = [places[number] for number in alarms]
        parts.append(svg.strokes(marked, _TOP - 4, foot, "commit alarm"))
        parts += [svg.words(place, _TOP - 6, "▲", "bell", "middle") for place in marked]
    parts += [
        svg.words(max(places[n], x.start - 22), foot + 42, time.marks[n].text, "sha", "middle")
        for n in shown
    ]
    return parts


def _line(line: Line, x: Scale, y: Scale) -> list[str]:
    points = changes(line.points) if line.steps else corners(line.points)
    kind = f"c{line.colour % 8} d{line.colour // 8 % 3}"
    places = [(x.at(at), y.at(value)) for at, value in points]
    parts = [svg.path(places, f"line {kind}", steps=line.steps)]
    dots = _dots(line, points) if line.steps else []
    for at, value in dots:
        circle = {"class": f"dot {kind}", "cx": x.at(at), "cy": y.at(value), "r": 4}
        parts.append(svg.tag("circle", circle))
    return parts


def _dots(line: Line, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The changes; where there is one value only, that."""
    if len(line.points) == 1:
        return points
    found = [p for n, p in enumerate(points) if n and p[1] != points[n - 1][1]]
    return found if len(found) <= _MOST_DOTS else []


def _failures(time: Time, x: Scale, foot: float) -> list[str]:
    places = [x.at(at) for at in time.failures]
    shown = label_placement.thinned(places, 7.0)
    return [svg.words(places[number], foot - 3, "✕", "failed", "middle") for number in shown]


def _names(lines: Sequence[Line], x: Scale, y: Scale, foot: float) -> list[str]:
    ends = [(x.at(line.points[-1][0]), y.at(line.points[-1][1])) for line in lines]
    heights = label_placement.column([end for _, end in ends], _TOP, foot, 15.0)
    parts = []
    for line, (across, down), height in zip(lines, ends, heights, strict=True):
        kind = f"c{line.colour % 8}"
        parts.append(svg.line(across, down, x.end + 14, height, f"lead {kind}"))
        parts.append(svg.words(x.end + 18, height + 4, line.name, f"name {kind}"))
    return parts
