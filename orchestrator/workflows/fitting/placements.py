"""Which types for which groups: the least divergence that fits into a size; pure.

Divergences of groups add up within some per cent (measured: 22 groups alone gave 0.410, all
together 0.414), so a choice of one type for each group is a knapsack of several choices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.modelfiles.ggml_types import type_by_name
from orchestrator.workflows.fitting.tensor_groups import Group

# The error of a weight halves with each bit, and the divergence goes with its square: two bits
# are a factor of 16, so ln(1/4) a bit. What is extrapolated keeps to slopes around that.
_STEEPEST, _FLATTEST = -2.2, -0.7
# Fewer steps than a real file has bytes; a choice may so be worse by a few parts in 10,000.
_STEPS = 8000


@dataclass(frozen=True)
class Option:
    """What one type costs for one group: bytes, and nats of mean KL divergence."""

    type: str
    nbytes: int
    divergence: float
    measured: bool


@dataclass(frozen=True)
class Point:
    """A placement: its bytes of data and its estimated divergence (nats)."""

    nbytes: int
    divergence: float
    types: tuple[str, ...]


def options(group: Group, measured: Mapping[str, float]) -> tuple[Option, ...]:
    """All types of a group with what they cost; measured where it was, else by the curve.

    Args:
        group: The group.
        measured: The added divergence (nats) by type; at least one.
    """
    floor = max(measured.values()) * 1e-4 or 1e-9
    known = sorted((_bits(name), math.log(max(value, floor))) for name, value in measured.items())
    found: list[Option] = []
    for name in group.types:
        value = measured.get(name, math.exp(_on_curve(known, _bits(name))))
        # More bits are never worse: where a measurement says so, it is noise.
        value = min(value, found[-1].divergence) if found else value
        found.append(Option(name, group.nbytes(name), max(value, 0.0), name in measured))
    return tuple(found)


def _bits(name: str) -> float:
    return type_by_name(name.upper()).bits_per_weight


def _on_curve(known: Sequence[tuple[float, float]], bits: float) -> float:
    """The logarithm of the divergence at so many bits, from points in rising order of bits."""
    if len(known) == 1:
        return known[0][1] + (bits - known[0][0]) * math.log(1 / 4)
    above = next((i for i, (x, _) in enumerate(known) if x >= bits), len(known) - 1)
    left, right = known[max(above - 1, 0)], known[max(above, 1)]
    slope = (right[1] - left[1]) / (right[0] - left[0])
    if left[0] <= bits <= right[0]:
        return left[1] + (bits - left[0]) * slope
    end = left if bits < left[0] else right
    return end[1] + (bits - end[0]) * min(max(slope, _STEEPEST), _FLATTEST)


def doubted(found: Sequence[Option], factor: float) -> tuple[Option, ...]:
    """The same options, with all that was not measured taken for so many times as bad."""
    return tuple(
        Option(
            one.type,
            one.nbytes,
            one.divergence if one.measured else one.divergence * factor,
            one.measured,
        )
        for one in found
    )


def front(choices: Sequence[Sequence[Option]]) -> list[Point]:
    """The placements that no other beats in both bytes and divergence, smallest first.

    Ties go to the placement that comes first in the order of groups and types.
    """
    points = [Point(0, 0.0, ())]
    most = sum(max(one.nbytes for one in each) for each in choices)
    step = max(1, most // _STEPS)
    for each in choices:
        points = _undominated(
            (
                Point(
                    point.nbytes + one.nbytes,
                    point.divergence + one.divergence,
                    (*point.types, one.type),
                )
                for point in points
                for one in each
            ),
            step,
        )
    return points


def _undominated(points: Iterable[Point], step: int) -> list[Point]:
    """Sorted by size, each better than all smaller ones; one for each step of bytes."""
    best: dict[int, Point] = {}
    for one in points:
        place = one.nbytes // step
        there = best.get(place)
        if there is None or (one.divergence, one.nbytes) < (there.divergence, there.nbytes):
            best[place] = one
    kept: list[Point] = []
    for _, one in sorted(best.items()):
        if not kept or one.divergence < kept[-1].divergence:
            kept.append(one)
    return kept


def best_within(points: Sequence[Point], nbytes: int) -> Point | None:
    """The point of a front with the least divergence in so many bytes; None if none fits."""
    fitting = [one for one in points if one.nbytes <= nbytes]
    return fitting[-1] if fitting else None


def smallest_below(points: Sequence[Point], divergence: float) -> Point | None:
    """The smallest point of a front with at most this divergence; None if there is none."""
    return next((one for one in points if one.divergence <= divergence), None)
