"""What a file and a context of some length need in memory, as upstream plans it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.base import units
from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import (
    Column,
    Limit,
    Measure,
    Number,
    Numbers,
    Option,
    Section,
    Work,
)
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import held, unmeasured

# The tool prints whole mebibytes, rounded down.
_UNIT = 1 << 20
_PARTS = ("model", "context", "compute")


def _run(task: Task) -> dict[str, JSON]:
    """``params``: ``context`` (tokens).

    Returns:
        Bytes of all devices together, each part up to a mebibyte too much: ``total``, ``model``
        (weights), ``context`` (keys and values), ``compute`` (buffers); ``tokens``.
    """
    wanted = task.step.params["context"]
    done = taking.call(task, "memory", {"context": str(wanted)}, "memory")
    devices = done.lists["devices"]
    if not devices:
        raise StepError(f"{task.step.label}: the tool printed no device's memory")
    parts = {part: sum(_UNIT * (int(one[part]) + 1) for one in devices) for part in _PARTS}
    return {"total": sum(parts.values()), **parts, "tokens": wanted}


def _options(sections: Mapping[str, JSON]) -> dict[str, JSON]:
    return {"context": sections["context_memory"]["context"]}


def _read(facts: Facts, _expectation: Expectation) -> Numbers:
    found = facts.get("context_memory") or {}
    return {one.name: found.get(one.name) for one in MEASURE.numbers} if found else {}


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    found = _read(facts, expectation)
    if not found:
        if measure.name in expectation.asked:
            yield unmeasured(measure, expectation)
        return
    fact = f"{_cell(found)}: {units.size(found['model'] or 0)} of it weights"
    told = {name: value for name, value in found.items() if value is not None}
    yield held(Check(measure.name, Status.PASS, fact, told), found, measure.limits, expectation)


def _cell(found: Numbers) -> str:
    total, tokens = found.get("total"), found.get("tokens")
    return f"{units.size(total)} at {tokens} tokens" if total and tokens else ""


MEASURE = Measure(
    name="context_memory",
    order=82,
    judge=_judge,
    read=_read,
    work=Work(_run, "memory with a context", ("memory",), _options),
    section=Section(
        "context_memory",
        "Memory of weights, context and buffers, as upstream's llama-fit-params plans it.",
        (
            Option(
                "context",
                "count",
                "Tokens of the context.",
                default=8192,
            ),
        ),
        describes="A context whose memory is planned.",
    ),
    numbers=(
        Number("total", "memory with context", key="context_memory", unit="bytes", better="lower"),
        Number("model", "memory of weights", unit="bytes"),
        Number("context", "memory of the context", unit="bytes"),
        Number("compute", "memory of buffers", unit="bytes"),
        Number("tokens", "tokens of the context"),
    ),
    limits=(
        Limit(
            "max_context_memory",
            "total",
            "size",
            "Most memory with the context of 'context_memory'.",
            units.size,
        ),
    ),
    columns=(Column("Memory with context", _cell, ("report", "card"), "total"),),
)
