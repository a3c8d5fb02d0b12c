"""Axes: from values to places on paper, and the values that are worth a label; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_STEPS = (1.0, 2.0, 5.0, 10.0)
_LEAST = 1e-12  # below it, values are noise or nothing
_LOG_MARKS = ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7))


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` on a line from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value is."""
        low, high, value = (
            (math.log(self.low), math.log(self.high), math.log(value))
            if self.log
            else (self.low, self.high, value)
        )
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> tuple[float, ...]:
        """Round values in it."""
        return (
            log_ticks(self.low, self.high, most) if self.log else ticks(self.low, self.high, most)
        )

    def tick_labels(self, most: int = 6) -> list[str]:
        """The ticks as text."""
        found = self.ticks(most)
        return [label(value, found) for value in found]


def fitted(
    values: Sequence[float], start: float, end: float, *, log: bool = False, pad: float = 0.06
) -> Scale:
    """A scale with room for all values; logarithmic only where all are well above zero."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if log and low > _LEAST:
        margin = max((high / low) ** pad, 1.02)
        return Scale(low / margin, high * margin, start, end, log=True)
    margin = (high - low) * pad
    # Values that are the same but for rounding would fill the height with nothing.
    least = max(abs(low), abs(high)) * 0.005 or 0.5
    margin = max(margin, least)
    return Scale(low - margin, high + margin, start, end)


def ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten, from low to high: one to ``most`` + 1."""
    least = (high - low) / most
    if least <= 0 or not math.isfinite(least):
        return (low,)
    power = 10.0 ** math.floor(math.log10(least))
    # The finest step that is not too fine; a finer one where it has no multiple in between.
    wide = next((n for n, one in enumerate(_STEPS) if power * one >= least), len(_STEPS) - 1)
    for number in range(wide, -1, -1):
        found = _multiples(low, high, power * _STEPS[number])
        if found:
            return found
    return (low,)


def _multiples(low: float, high: float, step: float) -> tuple[float, ...]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(_tidy(number * step, step) for number in range(first, last + 1))


def _tidy(value: float, step: float) -> float:
    """Without the last bits, so that 3 times 0.1 is 0.3."""
    return round(value, max(0, 2 - math.floor(math.log10(step))))


def log_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Powers of ten from low to high, with steps between them where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    best: tuple[float, ...] = ()
    for marks in _LOG_MARKS:
        every = [
            _tidy(mark * 10.0**power, 10.0**power)
            for power in range(first, last + 1)
            for mark in marks
        ]
        found = tuple(value for value in every if low <= value <= high)
        if best and len(found) > most:
            break
        best = found
    if len(best) > most:
        return best[:: math.ceil(len(best) / most)]
    return best if len(best) > 1 else ticks(low, high, most)


def label(value: float, all_ticks: Sequence[float]) -> str:
    """A tick as text, with the digits that tell it from its neighbours."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-5:
        return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e")
    steps = [b - a for a, b in pairwise(all_ticks) if b > a]
    finest = min(steps, default=abs(value))
    uneven = max(steps, default=finest) > finest * 1.5
    if uneven:  # a logarithmic axis: each value with its own digits
        return f"{value:.6f}".rstrip("0").rstrip(".") if "." in f"{value:.6f}" else f"{value:g}"
    digits = max(0, -math.floor(math.log10(finest) + 1e-9))
    return f"{value:.{digits}f}"
