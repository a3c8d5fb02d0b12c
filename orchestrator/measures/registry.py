"""All measures: every module of this room that has a ``MEASURE``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

import orchestrator.measures as room
from orchestrator.measures import further_texts
from orchestrator.measures.definition import Limit, Measure, Number, Section

NumberOf = tuple[Measure, Number]


@cache
def measures(texts: tuple[str, ...] = ()) -> tuple[Measure, ...]:
    """All measures in the order of reports, with those on further texts after the first's."""
    if texts:
        more = [further_texts.on(one, text) for one in measures() if one.by_text for text in texts]
        return tuple(sorted((*measures(), *more), key=lambda one: one.order))
    names = [one.name for one in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")]
    modules = [importlib.import_module(name) for name in names if name != __name__]
    found = [one.MEASURE for one in modules if hasattr(one, "MEASURE")]
    return tuple(sorted(found, key=lambda one: one.order))


def named(name: str) -> Measure:
    """The measure of this name, which may be on a further text."""
    return next(one for one in measures(further_texts.of([name])) if one.name == name)


def sections() -> dict[str, Section]:
    """The sections under ``verify:`` by their names."""
    return {one.section.name: one.section for one in measures() if one.section is not None}


def limits() -> Iterator[tuple[Measure, Limit]]:
    """All limits with the measures that they are of."""
    return ((measure, limit) for measure in measures() for limit in measure.limits)


def numbers() -> Iterator[NumberOf]:
    """All numbers with the measures that they are of."""
    return ((measure, number) for measure in measures() for number in measure.numbers)


def quality() -> list[NumberOf]:
    """Numbers that say how good a file is: drawn against size and over time."""
    return [(measure, number) for measure, number in numbers() if number.quality]


def speeds() -> list[NumberOf]:
    """Numbers of the machine and the hour that are watched over time."""
    return [(measure, number) for measure, number in numbers() if number.timed and number.alarm]


def lasting() -> list[NumberOf]:
    """Numbers that are watched over time and stay the same on every machine."""
    watched = [(one, number) for one, number in numbers() if number.alarm and not number.timed]
    return [*quality(), *((one, number) for one, number in watched if not number.quality)]


def relative() -> list[NumberOf]:
    """Numbers against the full file, which has none of them."""
    compared = {one.name for one in measures() if one.work is not None and one.work.compares}
    return [(one, n) for one, n in numbers() if n.relative or one.name in compared]
