"""Quality against size: one dot a file, those that no other beats joined to a front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.history.site import chart_scales, label_placement, svg
from orchestrator.history.site.chart_scales import Scale
from orchestrator.history.site.label_placement import Box
from orchestrator.history.site.pareto_front import pareto

WIDE, HIGH = 560.0, 340.0
_RIGHT, _TOP, _BOTTOM = 12.0, 14.0, 46.0


@dataclass(frozen=True)
class Dot:
    """A file: ``tip`` says all of it in a sentence, ``colour`` is the number of its colour."""

    label: str
    x: float
    y: float
    tip: str
    colour: int = 0


@dataclass(frozen=True)
class Level:
    """A value to compare with, drawn across: the full file's, give or take ``error``."""

    label: str
    value: float
    error: float = 0.0


@dataclass(frozen=True)
class Axes:
    """What the axes measure; whether the upright one is logarithmic, and higher is better."""

    x: str
    y: str
    log: bool = False
    higher: bool = False


def draw(
    ident: str, title: str, dots: Sequence[Dot], axes: Axes, level: Level | None = None
) -> str:
    """The picture; further left is better, and lower unless the axes say otherwise.

    Args:
        ident: Its name in the page.
        title: What it shows.
        dots: The files.
        axes: Titles of the axes.
        level: The full file.
    """
    best = pareto([(dot.x, -dot.y if axes.higher else dot.y) for dot in dots])
    heights = [dot.y for dot in dots] + ([level.value] if level else [])
    y = chart_scales.fitted(heights, HIGH - _BOTTOM, _TOP, log=axes.log, pad=0.09)
    left = label_placement.margin(y.tick_labels(6))
    x = chart_scales.fitted([dot.x for dot in dots], left, WIDE - _RIGHT, pad=0.09)
    names = ", ".join(dots[number].label for number in best)
    description = (
        f"{axes.y} against {axes.x} of {len(dots)} files; no other file is both smaller and "
        f"better than these: {names}. All values are in the table of files."
    )
    line = [(x.at(dots[number].x), y.at(dots[number].y)) for number in best]
    full = _around(line)
    parts = _grid(x, y, axes)
    if level is not None:
        seen = [label_placement.beside(x.at(dot.x), y.at(dot.y)) for dot in dots]
        name = _level_name(level, x, y, [*full, *seen])
        full += [name, _level_line(level, x, y)]
        parts += _level(level, x, y, name)
    parts += [*_front(line), *_dots(dots, set(best), x, y, full)]
    return svg.drawing(ident, title, description, WIDE, HIGH, *parts)


def _grid(x: Scale, y: Scale, axes: Axes) -> list[str]:
    foot = HIGH - _BOTTOM
    across, up = x.ticks(6), y.ticks(6)
    parts = [svg.line(x.start, y.at(value), x.end, y.at(value), "grid") for value in up]
    parts += [
        svg.words(x.start - 8, y.at(value) + 4, label, "tick", "end")
        for value, label in zip(up, y.tick_labels(6), strict=True)
    ]
    parts += [svg.line(x.at(value), foot, x.at(value), foot + 4, "axis") for value in across]
    parts += [
        svg.words(x.at(value), foot + 18, label, "tick", "middle")
        for value, label in zip(across, x.tick_labels(6), strict=True)
    ]
    parts.append(svg.line(x.start, foot, x.end, foot, "axis"))
    parts.append(svg.words((x.start + x.end) / 2, HIGH - 8, axes.x, "title", "middle"))
    return parts


def _level(level: Level, x: Scale, y: Scale, name: Box) -> list[str]:
    height = y.at(level.value)
    parts = []
    if level.error and (not y.log or level.value > level.error):
        top = max(y.at(level.value + level.error), _TOP)
        bottom = min(y.at(level.value - level.error), HIGH - _BOTTOM)
        band = {"x": x.start, "y": top, "width": x.end - x.start, "height": bottom - top}
        parts.append(svg.tag("rect", {"class": "band", **band}))
    parts.append(svg.line(x.start, height, x.end, height, "level"))
    parts.append(svg.words(name.left, name.bottom - 4, level.label, "tick"))
    return parts


def _level_line(level: Level, x: Scale, y: Scale) -> Box:
    height = y.at(level.value)
    return Box(x.start, height - 1, x.end, height + 1)


def _level_name(level: Level, x: Scale, y: Scale, full: Sequence[Box]) -> Box:
    """Where the level's name is: beside its line at one of the ends, where nothing else is.

    Below at the left comes first: hardly a file is smaller and better at once.
    """
    height, wide = y.at(level.value), label_placement.width(level.label)
    places = [
        Box(left, bottom - label_placement.HEIGHT, left + wide, bottom)
        for left in (x.start + 6, x.end - wide)
        for bottom in (height + 18, height - 3)
        if _TOP < bottom <= HIGH - _BOTTOM
    ]
    free = (box for box in places if not any(box.meets(other) for other in full))
    return next(free, places[0])


def _around(line: Sequence[tuple[float, float]]) -> list[Box]:
    """The area of a line in steps, as thin boxes."""
    found = []
    for (left, top), (right, bottom) in pairwise(line):
        found.append(Box(left, top - 1, right, top + 1))
        found.append(Box(right - 1, min(top, bottom), right + 1, max(top, bottom)))
    return found


def _front(points: Sequence[tuple[float, float]]) -> list[str]:
    return [svg.path(points, "front", steps=True)] if len(points) > 1 else []


def _dots(
    dots: Sequence[Dot], best: set[int], x: Scale, y: Scale, full: Sequence[Box]
) -> list[str]:
    places = [(x.at(dot.x), y.at(dot.y)) for dot in dots]
    room = Box(x.start, _TOP - 8, WIDE, HIGH - _BOTTOM)
    placed = label_placement.around(places, [dot.label for dot in dots], room, full)
    parts = []
    for number, (dot, (across, down), label) in enumerate(zip(dots, places, placed, strict=True)):
        kind = f"dot c{dot.colour % 8}" + ("" if number in best else " beaten")
        circle = {"class": kind, "cx": across, "cy": down, "r": 5}
        parts.append(svg.tag("circle", circle, svg.tag("title", {}, svg.text(dot.tip))))
        if label is None:
            continue
        box = label.box
        middle, height = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        if label.led:
            near = min(max(across, box.left), box.right)
            parts.append(svg.line(across, down, near, height, "lead"))
        kind = "name" if number in best else "name beaten"
        parts.append(svg.words(middle, height + 4, dot.label, kind, "middle"))
    return parts
