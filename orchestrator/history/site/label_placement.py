"""Where labels go so that none lies on another; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LETTER = 7.9  # width of a bold letter of 12 pixels in common typefaces, on the safe side
_TICK = 7.2  # of a digit, in letters that are not bold
HEIGHT = 14.0
# Left and below first: there a front of best points leaves room.
_TURNS = (180, 225, 0, 315, 270, 45, 135, 90)
_REACHES = (9.0, 20.0, 34.0, 50.0)
_POINT = 5.0


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two share any area."""
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)

    def within(self, other: Box) -> bool:
        """Whether it lies in another one."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Placed:
    """A label's box, and whether it is so far from its point that a line must lead there."""

    box: Box
    led: bool


def width(text: str) -> float:
    """About how wide a label is."""
    return len(text) * LETTER + 4


def margin(texts: Sequence[str]) -> float:
    """The room that labels of an upright axis take beside it."""
    return max(60.0, 12 + max(map(len, texts), default=0) * _TICK)


def beside(x: float, y: float) -> Box:
    """The room that a point itself takes."""
    return Box(x - _POINT, y - _POINT, x + _POINT, y + _POINT)


def around(
    points: Sequence[tuple[float, float]], texts: Sequence[str], room: Box, full: Sequence[Box] = ()
) -> list[Placed | None]:
    """A place for each point's label beside it, or None where there is no free one.

    Args:
        points: Where they are.
        texts: Their labels.
        room: What all labels stay within.
        full: Where none may be.
    """
    taken = [beside(x, y) for x, y in points]
    taken += full
    found: list[Placed | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        place = next(
            (
                one
                for one in _candidates(x, y, width(text))
                if one.box.within(room) and not any(one.box.meets(other) for other in taken)
            ),
            None,
        )
        if place is not None:
            taken.append(place.box)
        found.append(place)
    return found


def _candidates(x: float, y: float, wide: float) -> Iterator[Placed]:
    for reach in _REACHES:
        for turn in _TURNS:
            across, down = math.cos(math.radians(turn)), -math.sin(math.radians(turn))
            middle = x + across * (reach + (wide / 2 if abs(across) > 0.1 else 0))
            height = y + down * (reach + 2)
            box = Box(
                middle - wide / 2, height - HEIGHT / 2, middle + wide / 2, height + HEIGHT / 2
            )
            yield Placed(box, reach > _REACHES[0])


def column(wanted: Sequence[float], top: float, bottom: float, gap: float) -> list[float]:
    """Heights for labels in one column, as near as possible to the wanted ones.

    They keep their order and at least ``gap`` between them, less when they would not fit.
    """
    if not wanted:
        return []
    if len(wanted) > 1:
        gap = min(gap, (bottom - top) / (len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    heights = [0.0] * len(wanted)
    last = -math.inf
    for number in order:
        last = max(wanted[number], last + gap, top)
        heights[number] = last
    last = math.inf
    for number in reversed(order):
        last = min(heights[number], last - gap, bottom)
        heights[number] = last
    return heights


def thinned(places: Sequence[float], apart: float, first: Sequence[int] = ()) -> list[int]:
    """Numbers of places at least ``apart`` from each other, those of ``first`` before others."""
    kept: list[int] = []
    for number in (*first, *range(len(places))):
        if all(abs(places[number] - places[other]) >= apart for other in kept):
            kept.append(number)
    return sorted(kept)
