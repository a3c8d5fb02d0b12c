"""All measures: every module of this room that has a ``MEASURE``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

import orchestrator.measures as room
from orchestrator.measures.definition import Limit, Measure, Number, Section


@cache
def measures() -> tuple[Measure, ...]:
    """All measures in the order of reports."""
    names = [one.name for one in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")]
    modules = [importlib.import_module(name) for name in names if name != __name__]
    found = [one.MEASURE for one in modules if hasattr(one, "MEASURE")]
    return tuple(sorted(found, key=lambda one: one.order))


def named(name: str) -> Measure:
    """The measure of this name."""
    return next(one for one in measures() if one.name == name)


def sections() -> dict[str, Section]:
    """The sections under ``verify:`` by their names."""
    return {one.section.name: one.section for one in measures() if one.section is not None}


def limits() -> Iterator[tuple[Measure, Limit]]:
    """All limits with the measures that they are of."""
    return ((measure, limit) for measure in measures() for limit in measure.limits)


def numbers() -> Iterator[tuple[Measure, Number]]:
    """All numbers with the measures that they are of."""
    return ((measure, number) for measure in measures() for number in measure.numbers)
