"""The most memory that the smoke test took."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.base import units
from orchestrator.measures.check_status import Check
from orchestrator.measures.definition import Column, Measure, Number, Numbers
from orchestrator.measures.expectation import Expectation, Facts


def _read(facts: Facts, _expectation: Expectation) -> Numbers:
    peak = (facts.get("smoke") or {}).get("peak")
    return {"peak": peak} if peak else {}


def _judge(_measure: Measure, _facts: Facts, _expectation: Expectation) -> Iterator[Check]:
    yield from ()  # nothing limits it


def _cell(found: Numbers) -> str:
    peak = found.get("peak")
    return units.size(peak) if peak else ""


MEASURE = Measure(
    name="memory",
    order=80,
    judge=_judge,
    read=_read,
    found_with="smoke",
    numbers=(Number("peak", "memory", key="memory", unit="bytes", better="lower", timed=True),),
    columns=(Column("Memory", _cell, ("report", "site"), "peak"),),
)
