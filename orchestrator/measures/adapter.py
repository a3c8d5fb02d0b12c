"""What the unquantized file writes with an adapter's file, by upstream's own program."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.base.file_links import borrow
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import smoke, taking
from orchestrator.measures.check_status import Check
from orchestrator.measures.definition import ADAPTER, Measure, Work
from orchestrator.measures.expectation import Expectation, Facts


def _run(task: Task) -> dict[str, JSON]:
    """``params``: ``prompt``, ``tokens``, ``expect``; ``inputs["adapter"]`` has a file of the name.

    Returns:
        ``text`` without the prompt, and ``expect``.
    """
    params = task.step.params
    file = task.inputs[ADAPTER] / str(params["file"])
    given = borrow(file, task.scratch / f"{ADAPTER}{file.suffix}").name
    values = {**smoke.values(task), ADAPTER: given}
    done = taking.call(task, "complete_adapted", values, "a text with it")
    text = smoke.continuation(done.stdout, str(params["prompt"]))
    return {"text": text, "expect": params["expect"]}


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    """As a smoke test; only adapters are spoken of."""
    if found := facts.get(measure.name):
        yield smoke.judged(measure.name, str(found["text"]), str(found["expect"]), expectation)


MEASURE = Measure(
    name="with_adapter",
    order=32,
    judge=_judge,
    work=Work(_run, "a text with it", ("complete_adapted",), part=ADAPTER),
)
