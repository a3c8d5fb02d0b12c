"""Whether upstream loads a file at all and runs one token through it. Always tried."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import Measure, Work
from orchestrator.measures.expectation import Expectation, Facts


def _run(task: Task) -> dict[str, JSON]:
    """Load the file with the verb ``load``.

    Raises:
        StepError: Upstream cannot load it.
    """
    taking.call(task, "load", {}, "load")
    return {"loaded": True}


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    if facts.get(measure.name):
        yield Check(measure.name, Status.PASS, "upstream loads it and runs a token through it")
    elif measure.name not in expectation.lacking:
        said = "upstream could not load it" if measure.name in expectation.failed else "not tried"
        yield Check(measure.name, Status.FAIL, said)


MEASURE = Measure("load", 20, _judge, work=Work(_run, "load", ("load",)))
