"""Carry out one step: under its lock, in a staging folder, committed when it is complete.

A job is a value and what happens meanwhile are events, so that this code is the same in a
thread, in another process and on another machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from orchestrator.base.errors import OrchestrateError
from orchestrator.base.step_values import (
    JSON,
    Activity,
    Ended,
    Outcome,
    Progress,
    Step,
    StepResult,
    Task,
)
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Artifact, Store
from orchestrator.engine.shared_cache.places import Remote


class Listener(Protocol):
    """Who watches a run."""

    def planned(self, steps: Sequence[Activity]) -> None:
        """These steps are about to be done, as far as nothing prevents it."""

    def started(self, step: Activity) -> None:
        """A step begins its work."""

    def progressed(self, step: Activity, progress: Progress) -> None:
        """A step got further."""

    def waiting(self, step: Activity, holder: str) -> None:
        """Another process makes this artifact; this one waits for it."""

    def finished(self, result: Ended) -> None:
        """A step is done, was a hit, was skipped or failed."""


@dataclass(frozen=True)
class Settings:
    """How a run behaves: CPU-bound steps at once, threads of all together, what is kept.

    ``jobs`` is 0 where the steps decide (:mod:`orchestrator.engine.core_shares`).
    ``keep_logits`` are the bytes that saved logits may take in the store when they are kept.
    ``remote`` are the caches that it shares with others.
    From ``deadline`` on (a moment of ``time.monotonic``) no step is started.
    """

    jobs: int = 1
    threads: int = 1
    offline: bool = False
    keep: str = "f16"
    keep_logits: int = 0
    deadline: float = math.inf
    remote: Remote = field(default_factory=Remote)


@dataclass(frozen=True)
class Job:
    """What has to be done and where; to be pickled. A store in another process is opened anew.

    ``threads`` are those of its tools. ``along`` are the steps that its inputs come from, for a
    store that lacks them.
    """

    step: Step
    settings: Settings
    store: Store
    threads: int
    along: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Event:
    """What happens to a step while it is carried out; to be pickled.

    ``computed`` says that its tool is done and only hashing and committing are left.
    """

    key: str
    what: Literal["waiting", "started", "progressed", "computed"]
    holder: str = ""
    progress: Progress | None = None


Say = Callable[[Event], None]


def carry_out(job: Job, say: Say) -> StepResult:
    """Check, lock, check again, work, commit.

    Raises:
        OrchestrateError: The step failed; its staging folder is gone.
    """
    step, store = job.step, job.store

    def on_wait(holder: str) -> None:
        say(Event(step.key, "waiting", holder=holder))

    with store.hold({*step.inputs.values()}), store.lock(step.key, on_wait):
        found = store.find(step.key)
        if found is not None:
            return hit(step, found)
        say(Event(step.key, "started"))
        return _work(job, say)


def _work(job: Job, say: Say) -> StepResult:
    step, store, settings = job.step, job.store, job.settings
    begun = time.monotonic()
    needed_bytes = step.resources.disk_bytes + step.resources.scratch_bytes
    with store.stage(step.key, needed_bytes) as stage:
        task = Task(
            step=step,
            inputs={name: _input(job, name, key) for name, key in step.inputs.items()},
            workdir=stage.workdir,
            scratch=stage.scratch,
            log=stage.log,
            threads=job.threads,
            offline=settings.offline,
            report=lambda progress: say(Event(step.key, "progressed", progress=progress)),
            computed=lambda: say(Event(step.key, "computed")),
        )
        facts = step_kinds.of(step).run(task)
        say(Event(step.key, "computed"))
        # What was read is as good as the inputs were all the time.
        for name, key in step.inputs.items():
            _input(job, name, key)
        artifact = store.commit(
            stage,
            step,
            {**facts, "calls": _calls(task)},
            time.monotonic() - begun,
            max((call.peak_memory for call in task.calls), default=0),
            hash_files=step_kinds.of(step).hashed,
        )
    return _result(step, artifact, Outcome.DONE)


def _input(job: Job, name: str, key: str) -> Path:
    artifact = job.store.find(key)
    if artifact is None:
        raise OrchestrateError(
            f"{job.step.label}: its input {name!r} was removed from the store or changed there",
            "Run again; what is missing is made again then.",
        )
    return artifact.path


def _calls(task: Task) -> list[JSON]:
    """The native calls of a task without a path of this machine in them."""
    places = {str(path): f"{{{name}}}" for name, path in task.inputs.items()}
    places |= {str(task.workdir): "{work}", str(task.scratch): "{scratch}"}
    if "data" in task.step.context:
        places[str(task.step.context["data"])] = "{data}"
    return [
        {
            "argv": _command(call.argv, places),
            "portable": _command(call.portable, places),
            "seconds": round(call.seconds, 3),
            "peak_memory": call.peak_memory,
        }
        for call in task.calls
    ]


def _command(argv: Sequence[str], places: Mapping[str, str]) -> list[str]:
    return [_program(argv[0], places), *(_without(word, places) for word in argv[1:])]


def _program(path: str, places: Mapping[str, str]) -> str:
    """A program of ours by its place, one of the machine's by its name."""
    shown = _without(path, places)
    return shown if shown != path else Path(path).name


def _without(text: str, places: Mapping[str, str]) -> str:
    for path in sorted(places, key=len, reverse=True):
        text = text.replace(path, places[path])
    return text


def hit(step: Step, artifact: Artifact) -> StepResult:
    """The record of a step whose artifact is there."""
    return _result(step, artifact, Outcome.HIT)


def _result(step: Step, artifact: Artifact, outcome: Outcome) -> StepResult:
    manifest = artifact.manifest
    return StepResult(
        step=step,
        outcome=outcome,
        seconds=manifest["seconds"],
        peak_memory=manifest["peak_memory"],
        facts=manifest["facts"],
        path=artifact.path,
    )
