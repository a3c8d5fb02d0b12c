"""Steps of the tests' own for the real runner and the real store, and a listener that notes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.step_values import (
    JSON,
    Activity,
    Ended,
    Outcome,
    Progress,
    Resources,
    Step,
    StepResult,
    Task,
)
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.scheduler import Runner, Settings
from orchestrator.engine.step_kinds import Kind, Role

Work = Callable[[Task], dict[str, JSON]]


@dataclass(frozen=True)
class Own(Kind):
    """A kind whose work is a function of the tests."""

    role: Role = Role.OUTPUT
    work: Work = lambda _task: {}

    def run(self, task: Task) -> dict[str, JSON]:
        return self.work(task)


def own(name: str, work: Work) -> Own:
    """A kind with the work of a test; one that there is keeps all but its work."""
    known = step_kinds.KINDS.get(name, Kind("", Role.OUTPUT))
    own_work = Own("", known.role, brings=known.brings, budget=known.budget, work=work)
    return replace(own_work, bounded=known.bounded)


def teach(monkeypatch: pytest.MonkeyPatch, **works: Work) -> None:
    """Add kinds to the table for one test."""
    for name, work in works.items():
        monkeypatch.setitem(step_kinds.KINDS, name, own(name, work))


@dataclass
class Notes:
    """A listener that writes down what it hears, as ``event label``."""

    heard: list[str] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    def started(self, step: Activity) -> None:
        self.heard.append(f"started {step.label}")

    def progressed(self, step: Activity, progress: Progress) -> None:
        self.progress.append(progress)

    def planned(self, steps: Sequence[Activity]) -> None:
        """Each is heard of when it begins."""

    def waiting(self, step: Activity, holder: str) -> None:
        self.heard.append(f"waiting {step.label}")

    def finished(self, result: Ended) -> None:
        self.heard.append(f"{result.outcome.value} {result.step.label}")


def write_text(task: Task) -> dict[str, JSON]:
    """Write the step's text after those of its inputs."""
    before = "".join((path / "text").read_text() for _, path in sorted(task.inputs.items()))
    text = before + task.step.params["text"]
    (task.workdir / "text").write_text(text)
    task.report(Progress(1, 1))
    return {"length": len(text)}


def fail(task: Task) -> dict[str, JSON]:
    from orchestrator.base.errors import StepError

    raise StepError(f"{task.step.label} went wrong", "Mend it.")


def a_step(
    label: str,
    *reads: Step,
    kind: str = "text",
    after: Sequence[Step] = (),
    keep: str = "all",
    **resources: Any,
) -> Step:
    inputs = {one.label: one.key for one in reads}
    key = hashlib.sha256(repr((kind, label, sorted(inputs.values()))).encode()).hexdigest()
    return Step(
        kind,
        label,
        key,
        {"text": label},
        inputs,
        tuple(one.key for one in after),
        resources=Resources(**resources),
        keep=keep,
    )


@dataclass
class Ran:
    """What a run gave: outcomes by label, in the order of the records, and what was heard."""

    results: list[StepResult]
    notes: Notes

    @property
    def outcomes(self) -> dict[str, str]:
        return {result.step.label: result.outcome.value for result in self.results}

    def of(self, label: str) -> StepResult:
        return next(result for result in self.results if result.step.label == label)

    @property
    def worked(self) -> list[str]:
        return [r.step.label for r in self.results if r.outcome is Outcome.DONE]


def run(root: Path, steps: Sequence[Step], *targets: Step, **settings: Any) -> Ran:
    notes = Notes()
    runner = Runner(Store(root, print), Settings(**settings), notes)
    wanted = [step.key for step in targets or steps[-1:]]
    return Ran(runner.run(steps, wanted), notes)


def stored(root: Path, *steps: Step) -> list[str]:
    """Labels of the steps whose artifacts are in the store."""
    store = Store(root, print)
    return [step.label for step in steps if store.find(step.key) is not None]
