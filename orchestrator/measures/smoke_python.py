"""What a file writes after the same prompt when it is used from Python."""

from __future__ import annotations

from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import smoke, taking
from orchestrator.measures.definition import Measure, Work


def _run(task: Task) -> dict[str, JSON]:
    """``params`` as the smoke test's; returns ``text`` without the prompt."""
    done = taking.call(task, "complete_python", smoke.values(task), "smoke test in Python")
    return {"text": str(done.parsed["text"]).strip()}


MEASURE = Measure(
    name="smoke_python",
    order=40,
    judge=smoke.judge,
    work=Work(_run, "smoke test in Python", ("complete_python",), smoke.asked, section="smoke"),
)
