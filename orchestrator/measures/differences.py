"""Whether a number became better or worse between two files: only beyond its error; pure."""

from __future__ import annotations

from math import hypot

from orchestrator.measures.definition import Measure, Number, Numbers

# What lies within two standard errors comes by chance in 95 of 100 texts.
ERRORS = 2
NONE_SEEN = "no difference seen"


def error_of(number: Number, found: Numbers) -> float | None:
    """The standard error of a number, where it is known."""
    return found.get(number.error) if number.error else None


def difference(measure: Measure, number: Number, before: Numbers, after: Numbers) -> str:
    """``better``, ``worse`` or that none was seen; empty where no error is known.

    Where differences are measured in pairs, those decide and not the number itself: two
    perplexities of one text rise and fall together.
    """
    told = measure.number(number.paired) if number.paired else number
    values = [found.get(told.name) for found in (before, after)]
    errors = [error_of(told, found) for found in (before, after)]
    if None in (*values, *errors) or not told.better:
        return ""
    (old, new), (one, other) = values, errors
    assert old is not None and new is not None and one is not None and other is not None  # noqa: PT018
    if abs(new - old) <= ERRORS * hypot(one, other):
        return NONE_SEEN
    return "better" if (new < old) == (told.better == "lower") else "worse"
