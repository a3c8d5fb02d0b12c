"""Which of several files no other one beats; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pareto(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """The numbers of the points on the front, from the smallest first value on.

    A point is on the front when no other one is at least as low in both values and lower in
    one of them. Of equal points all are on it.
    """
    order = sorted(range(len(points)), key=lambda number: points[number])
    found: list[int] = []
    for number in order:
        best = points[found[-1]] if found else (math.inf, math.inf)
        if points[number][1] < best[1] or points[number] == best:
            found.append(number)
    return tuple(found)
