"""Walk a plan: ask the store, start what is ready, yield a record of each step.

The runner knows no kind of work: it finds a kind's module in one table and hands it a task.
Any ``concurrent.futures.Executor`` can carry the tasks; at home it is a pool of threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Protocol

from orchestrator.errors import EnvironmentProblem, Interrupted, OrchestrateError
from orchestrator.kinds import KINDS, RELEASED
from orchestrator.records import JSON, Outcome, Progress, Step, StepResult, Task
from orchestrator.store import Artifact, Store

NET_SLOTS = 4


class Listener(Protocol):
    """Who watches a run; called from several threads."""

    def started(self, step: Step) -> None:
        """A step begins its work."""

    def progressed(self, step: Step, progress: Progress) -> None:
        """A step got further."""

    def waiting(self, step: Step, holder: str) -> None:
        """Another process makes this artifact; this one waits for it."""

    def finished(self, result: StepResult) -> None:
        """A step is done, was a hit, was skipped or failed."""


@dataclass(frozen=True)
class Settings:
    """How a run behaves: CPU-bound steps at once, threads of each, what is kept."""

    jobs: int = 1
    threads: int = 1
    offline: bool = False
    keep: str = "f16"


@dataclass
class _State:
    """The runner's own notes while it walks."""

    results: dict[str, StepResult] = field(default_factory=dict)
    running: dict[Future[StepResult], Step] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    interrupted: Interrupted | None = None


def needed(steps: Sequence[Step], targets: Iterable[str], store: Store) -> dict[str, Step]:
    """The steps that must run for these targets: misses, and what misses read.

    A step whose artifact is gone is no reason to work while nobody needs it.
    """
    by_key = {step.key: step for step in steps}
    wanted: dict[str, Step] = {}
    pending = [key for key in targets if key in by_key]
    while pending:
        step = by_key[pending.pop()]
        if step.key in wanted or store.find(step.key) is not None:
            continue
        wanted[step.key] = step
        pending += [key for key in (*step.inputs.values(), *step.after) if key in by_key]
    return wanted


class Runner:
    """Runs steps against a store."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        listener: Listener,
        executor: Executor | None = None,
    ) -> None:
        self._store, self._settings, self._listener = store, settings, listener
        self._executor = executor

    def run(self, steps: Sequence[Step], targets: Sequence[str]) -> list[StepResult]:
        """Bring the targets up to date; independent steps go on when one fails.

        Returns:
            A record of every target and of every step that ran or was skipped.

        Raises:
            Interrupted: After everything that ran was stopped.
        """
        work = needed(steps, targets, self._store)
        state = _State()
        for key in targets:
            if key not in work:
                self._record(state, self._hit(_by_key(steps, key)))
        if not work:
            return list(state.results.values())
        if self._executor is not None:
            self._walk(work, targets, state, self._executor)
        else:
            with ThreadPoolExecutor(self._settings.jobs + NET_SLOTS) as pool:
                self._walk(work, targets, state, pool)
        if state.interrupted is not None:
            raise state.interrupted
        return list(state.results.values())

    def _walk(
        self, work: Mapping[str, Step], targets: Sequence[str], state: _State, pool: Executor
    ) -> None:
        sorter = TopologicalSorter(
            {
                key: [k for k in (*step.inputs.values(), *step.after) if k in work]
                for key, step in work.items()
            }
        )
        sorter.prepare()
        ready: list[str] = []
        while sorter.is_active():
            ready += sorter.get_ready()
            ready = self._start(ready, work, state, pool, sorter)
            if state.running:
                self._collect(state, work, targets, sorter)

    def _start(
        self,
        ready: Sequence[str],
        work: Mapping[str, Step],
        state: _State,
        pool: Executor,
        sorter: TopologicalSorter[str],
    ) -> list[str]:
        """Start what may start now; give back what has to wait for a slot."""
        later: list[str] = []
        for key in sorted(ready, key=list(work).index, reverse=True):
            step = work[key]
            reason = self._obstacle(step, state)
            if reason:
                state.blocked[key] = reason
                self._record(state, StepResult(step, Outcome.SKIPPED, error=reason))
                sorter.done(key)
            elif self._has_slot(step, state):
                state.running[pool.submit(self._execute, step)] = step
            else:
                later.append(key)
        return later

    def _obstacle(self, step: Step, state: _State) -> str:
        if state.interrupted is not None:
            return "interrupted"
        for key in (*step.inputs.values(), *step.after):
            if key in state.blocked:
                return state.blocked[key]
        return ""

    def _has_slot(self, step: Step, state: _State) -> bool:
        """Two CPU-bound tools never share the same cores; the network has its own slots."""
        busy = [running.resources for running in state.running.values()]
        if step.resources.cpu:
            return sum(one.cpu for one in busy) < self._settings.jobs
        if step.resources.net:
            return sum(one.net for one in busy) < NET_SLOTS
        return True

    def _collect(
        self,
        state: _State,
        work: Mapping[str, Step],
        targets: Sequence[str],
        sorter: TopologicalSorter[str],
    ) -> None:
        finished, _ = wait(state.running, return_when=FIRST_COMPLETED)
        for future in finished:
            step = state.running.pop(future)
            result = self._outcome(future, step, state)
            if result.outcome is Outcome.FAILED:
                state.blocked[step.key] = f"needs '{step.label}', which failed"
            self._record(state, result)
            sorter.done(step.key)
        self._release(state, work, targets)

    def _outcome(self, future: Future[StepResult], step: Step, state: _State) -> StepResult:
        try:
            return future.result()
        except Interrupted as error:
            state.interrupted = error
            return StepResult(step, Outcome.SKIPPED, error="interrupted")
        except OrchestrateError as error:
            log = self._store.log_path(step.key)
            return StepResult(step, Outcome.FAILED, error=str(error), log=log, cause=error)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            cause = EnvironmentProblem(f"{where}{error.strerror or error}")
            log = self._store.log_path(step.key)
            return StepResult(step, Outcome.FAILED, error=str(cause), log=log, cause=cause)

    def _record(self, state: _State, result: StepResult) -> None:
        state.results[result.step.key] = result
        self._listener.finished(result)

    # -- one step ------------------------------------------------------------------------

    def _hit(self, step: Step) -> StepResult:
        artifact = self._store.find(step.key)
        assert artifact is not None, "needed() found it"
        return _result(step, artifact, Outcome.HIT)

    def _execute(self, step: Step) -> StepResult:
        """Check, lock, check again, work, commit."""

        def on_wait(holder: str) -> None:
            self._listener.waiting(step, holder)

        keys = {*step.inputs.values()}
        with self._store.hold(keys), self._store.lock(step.key, on_wait):
            found = self._store.find(step.key)
            if found is not None:
                return _result(step, found, Outcome.HIT)
            self._listener.started(step)
            return self._work(step)

    def _work(self, step: Step) -> StepResult:
        begun = time.monotonic()
        needed_bytes = step.resources.disk_bytes + step.resources.scratch_bytes
        with self._store.stage(step.key, needed_bytes) as stage:
            inputs = {name: self._input(step, name, key) for name, key in step.inputs.items()}
            task = Task(
                step=step,
                inputs=inputs,
                workdir=stage.workdir,
                scratch=stage.scratch,
                log=stage.log,
                threads=max(1, self._settings.threads // self._settings.jobs),
                offline=self._settings.offline,
                report=lambda progress: self._listener.progressed(step, progress),
            )
            facts = KINDS[step.kind].run(task)
            artifact = self._store.commit(
                stage,
                step,
                {**facts, "calls": _calls(task)},
                time.monotonic() - begun,
                max((call.peak_memory for call in task.calls), default=0),
                hash_files=KINDS[step.kind].hashed,
            )
        return _result(step, artifact, Outcome.DONE)

    def _input(self, step: Step, name: str, key: str) -> Path:
        artifact = self._store.find(key)
        if artifact is None:
            raise OrchestrateError(
                f"{step.label}: its input {name!r} disappeared from the store while it waited",
                "Run again.",
            )
        return artifact.path

    # -- disk ----------------------------------------------------------------------------

    def _release(self, state: _State, work: Mapping[str, Step], targets: Sequence[str]) -> None:
        """Give back what nobody needs any more, as the policy says."""
        open_inputs = {
            key
            for step in work.values()
            if step.key not in state.results
            for key in step.inputs.values()
        }
        for key, step in work.items():
            done = key in state.results and state.results[key].outcome is Outcome.DONE
            if done and key not in open_inputs and key not in targets:
                release(self._store, [step], self._settings.keep)


def release(store: Store, steps: Iterable[Step], keep: str) -> None:
    """Remove the artifacts of steps that the ``--keep`` policy does not keep."""
    for step in steps:
        if step.keep in RELEASED[keep]:
            store.release(step.key)


def _calls(task: Task) -> list[JSON]:
    """The native calls of a task without a path of this machine in them."""
    places = {str(path): f"{{{name}}}" for name, path in task.inputs.items()}
    places |= {str(task.workdir): "{work}", str(task.scratch): "{scratch}"}
    if "data" in task.step.context:
        places[str(task.step.context["data"])] = "{data}"
    return [
        {
            "argv": [_program(call.argv[0], places), *(_without(t, places) for t in call.argv[1:])],
            "seconds": round(call.seconds, 3),
            "peak_memory": call.peak_memory,
        }
        for call in task.calls
    ]


def _program(path: str, places: Mapping[str, str]) -> str:
    """A program of ours by its place, one of the machine's by its name."""
    shown = _without(path, places)
    return shown if shown != path else Path(path).name


def _without(text: str, places: Mapping[str, str]) -> str:
    for path in sorted(places, key=len, reverse=True):
        text = text.replace(path, places[path])
    return text


def _by_key(steps: Sequence[Step], key: str) -> Step:
    return next(step for step in steps if step.key == key)


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
