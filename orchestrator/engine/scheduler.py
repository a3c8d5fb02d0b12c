"""Walk a plan: ask the store, start what is ready, yield a record of each step.

The runner knows no kind of work. It hands picklable jobs to a ``concurrent.futures.Executor``,
a pool of threads at home, and learns what becomes of them from one queue of events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from queue import SimpleQueue
from typing import Protocol

from orchestrator.base import machine_info
from orchestrator.base.errors import Interrupted, NetworkProblem, OrchestrateError, problem_of
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.step_values import Activity, Ended, Outcome, Progress, Step, StepResult
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.core_shares import Cores, Share, shares, threads_for
from orchestrator.engine.known_artifacts import Find, KnownArtifacts
from orchestrator.engine.retention_policy import RELEASED, release
from orchestrator.engine.step_worker import Event, Job, Listener, Say, Settings, carry_out, hit

__all__ = ["Carrier", "Listener", "Runner", "Settings", "needed"]

NET_SLOTS = 4
LATE = "the time is up"


Steps = Mapping[str, Step]  # by their keys


class Inbox(Protocol):
    """The queue of a run: what happens to steps, and the keys of those that have ended."""

    def put(self, event: Event | str, /) -> None:
        """Add an event; called from several threads."""

    def get(self) -> Event | str | None:
        """Wait for an event; None after a while without one, if the queue looks up."""


@dataclass(frozen=True)
class Carrier:
    """Who carries jobs out, and how is heard what happens meanwhile.

    Attributes:
        executor: Gives an executor that has what a step needs.
        inbox: Where events come.
        say: Puts an event there; to be pickled where the executor's workers are other processes.
        work: What is submitted.
        own_slots: False where the executor itself starts no more at once than there is room for.
        apart: Whether its workers may have stores of their own, and shared caches carry what is
            exchanged: then only what is asked for comes here.
        admit: Prepares for work, of these steps, for these targets; raises EnvironmentProblem
            when there never is room for some of it.
        arrived: Gives a result its path here.
        explain: Gives the error that a failure of the executor's own means to a user, if it is one.
    """

    executor: Callable[[Step], Executor]
    inbox: Inbox
    say: Say
    work: Callable[[Job, Say], StepResult] = carry_out
    own_slots: bool = True
    apart: bool = False
    admit: Callable[[Steps, Steps, Collection[str]], None] = lambda _work, _steps, _targets: None
    arrived: Callable[[StepResult, Store], StepResult] = lambda result, _store: result
    explain: Callable[[Exception], OrchestrateError | None] = lambda _error: None


@dataclass
class _State:
    """The runner's own notes while it walks."""

    carrier: Carrier
    results: dict[str, StepResult] = field(default_factory=dict)
    running: dict[str, tuple[Step, Future[StepResult]]] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    sealing: set[str] = field(default_factory=set)
    blocked: dict[str, str] = field(default_factory=dict)
    interrupted: Interrupted | None = None
    lost: str = ""

    def cancel(self, keys: Iterable[str]) -> None:
        """Cancel what runs or waits elsewhere; a thread that has begun ends by itself."""
        for key in keys:
            self.running[key][1].cancel()


def needed(steps: Sequence[Step], targets: Iterable[str], find: Find) -> dict[str, Step]:
    """The steps that must run for these targets: misses, and what misses read.

    A step whose artifact is gone is no reason to work while nobody needs it.
    """
    by_key = {step.key: step for step in steps}
    wanted: dict[str, Step] = {}
    pending = [key for key in targets if key in by_key]
    while pending:
        step = by_key[pending.pop()]
        if step.key in wanted or find(step.key) is not None:
            continue
        wanted[step.key] = step
        pending += [key for key in (*step.inputs.values(), *step.after) if key in by_key]
    return wanted


class Runner:
    """Runs steps against a store, of which ``known`` may be what the caller asked already."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        listener: Listener,
        carrier: Carrier | None = None,
        known: KnownArtifacts | None = None,
    ) -> None:
        self._store, self._settings, self._listener = store, settings, listener
        self._carrier = carrier
        self._known = known or KnownArtifacts(store, settings.remote)

    def run(
        self, steps: Sequence[Step], targets: Sequence[str], *, share: bool = False
    ) -> list[StepResult]:
        """Bring the targets up to date; independent steps go on when one fails.

        With ``share`` what is made goes to the shared caches too: it is not for a try alone.

        Returns:
            A record of every target and of every step that ran or was skipped.

        Raises:
            Interrupted: After everything that ran was stopped.
        """
        self._share = share
        with self._store.lease([step.key for step in steps]):
            return self._run(steps, targets)

    def _run(self, steps: Sequence[Step], targets: Sequence[str]) -> list[StepResult]:
        work = self._needed(steps, targets)
        self._by_key = by_key = {step.key: step for step in steps}
        hits = {}
        for key in targets:
            found = self._known.find(key) if key not in work else None
            if found is not None:
                hits[key] = hit(by_key[key], found)
                self._listener.finished(hits[key])
        made = self._do(work, frozenset(targets)) if work else {}
        return list({**hits, **made}.values())

    def _needed(self, steps: Sequence[Step], targets: Sequence[str]) -> dict[str, Step]:
        """The steps to do; looked for again when one is damaged, and with it what it gave."""
        while True:
            damaged = self._store.damaged
            self._known.ask_cache(steps, targets)
            work = needed(steps, targets, self._known.at_hand)
            read = {key for step in work.values() for key in step.inputs.values()}
            here = set() if self._carrier is not None and self._carrier.apart else read
            missing = self._known.cached((here | {*targets}) - work.keys())
            if self._store.damaged == damaged and len(self._bring(steps, missing)) == len(missing):
                return work

    def bring(self, steps: Sequence[Step], keys: Sequence[str]) -> set[str]:
        """Bring what shared caches hold of these keys, of steps among ``steps``; which came.

        Raises:
            DiskFull: There is no room.
            Interrupted: The run is interrupted.
        """
        self._known.ask_cache(steps, keys)
        return self._bring(steps, self._known.cached(keys))

    def _bring(self, steps: Sequence[Step], keys: Sequence[str]) -> set[str]:
        if not keys:
            return set()
        by_key = {step.key: step for step in steps}
        with ThreadPoolExecutor(NET_SLOTS) as pool:
            came = list(pool.map(lambda key: self._brought(by_key[key]), keys))
        return {key for key, there in zip(keys, came, strict=True) if there}

    def _brought(self, step: Step) -> bool:
        begun = time.monotonic()
        shown = Activity("bring", f"bring the result of '{step.label}'", step.key)

        def received(done: int, size: int) -> None:
            self._listener.progressed(shown, Progress(done, size, "B"))

        self._listener.started(shown)
        found = self._known.bring(step.key, received) is not None
        outcome = Outcome.DONE if found else Outcome.SKIPPED
        why = "" if found else "it is made here"
        self._listener.finished(Ended(shown, outcome, time.monotonic() - begun, error=why))
        return found

    def _do(self, work: Mapping[str, Step], targets: Collection[str]) -> dict[str, StepResult]:
        """Do all of the work; what was known of the store before is out of date then."""
        self._listener.planned(list(work.values()))
        try:
            if self._carrier is not None:
                self._carrier.admit(work, self._by_key, targets)
                return self._walk(work, targets, _State(self._carrier))
            with ThreadPoolExecutor(2 * self._at_once() + NET_SLOTS) as pool:
                inbox: SimpleQueue[Event | str] = SimpleQueue()
                return self._walk(
                    work, targets, _State(Carrier(lambda _step: pool, inbox, inbox.put))
                )
        finally:
            self._known.forget()

    def _at_once(self) -> int:
        """How many CPU-bound steps run at once at most."""
        return self._settings.jobs or self._settings.threads

    def _walk(
        self, work: Mapping[str, Step], targets: Collection[str], state: _State
    ) -> dict[str, StepResult]:
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
            ready = self._start(ready, work, state, sorter)
            if state.running:
                self._collect(state, work, targets, sorter)
        if state.interrupted is not None:
            raise state.interrupted
        return state.results

    def _start(
        self,
        ready: Sequence[str],
        work: Mapping[str, Step],
        state: _State,
        sorter: TopologicalSorter[str],
    ) -> list[str]:
        """Start what may start now; give back what has to wait for a slot."""
        later: list[str] = []
        order = {key: place for place, key in enumerate(work)}
        waiting = sum(shares(work[key].resources) for key in ready)
        for key in sorted(ready, key=order.__getitem__, reverse=True):
            step = work[key]
            reason = self._obstacle(step, state)
            if reason:
                state.blocked[key] = reason
                self._record(state, StepResult(step, Outcome.SKIPPED, error=reason))
                sorter.done(key)
            elif self._has_slot(step, state, waiting):
                self._submit(step, state)
                waiting -= shares(step.resources)
            else:
                later.append(key)
        return later

    def _submit(self, step: Step, state: _State) -> None:
        carrier, threads = state.carrier, self._settings.threads // (self._settings.jobs or 1)
        if step.key in state.shares:
            threads = state.shares[step.key].threads
        along = _ancestors(step, self._by_key) if carrier.apart else ()
        job = Job(step, self._settings, self._store, max(1, threads), along)
        future = carrier.executor(step).submit(carrier.work, job, carrier.say)
        state.running[step.key] = step, future
        future.add_done_callback(lambda _future: carrier.inbox.put(step.key))

    def _obstacle(self, step: Step, state: _State) -> str:
        if state.interrupted is not None or state.lost:
            return state.lost or "interrupted"
        for key in (*step.inputs.values(), *step.after):
            if key in state.blocked:
                return state.blocked[key]
        return LATE if self._late() else ""

    def _late(self) -> bool:
        return time.monotonic() >= self._settings.deadline

    def _has_slot(self, step: Step, state: _State, waiting: int) -> bool:
        """Two CPU-bound tools never share the same cores; the network has its own slots.

        A step whose tool is done and whose result is only being hashed holds no slot.
        """
        if not state.carrier.own_slots:
            return True
        if step.resources.cpu:
            return self._takes_cores(step, state, waiting)
        running = [
            one.resources for one, _ in state.running.values() if one.key not in state.sealing
        ]
        return not step.resources.net or sum(one.net for one in running) < NET_SLOTS

    def _takes_cores(self, step: Step, state: _State, waiting: int) -> bool:
        """Give a CPU-bound step its threads, if there are any."""
        busy = [
            state.shares[key] for key in state.running.keys() - state.sealing if key in state.shares
        ]
        cores = Cores(self._settings.threads, self._settings.jobs)
        free = machine_info.memory_available() if busy else 0
        threads = threads_for(step.resources, busy, waiting, cores, free)
        state.shares[step.key] = Share(step.resources, threads)
        return threads > 0

    def _collect(
        self,
        state: _State,
        work: Mapping[str, Step],
        targets: Collection[str],
        sorter: TopologicalSorter[str],
    ) -> None:
        """Wait until a step may be able to start that could not before; progress is no reason."""
        event = state.carrier.inbox.get()
        while isinstance(event, Event):
            self._hear(event, state)
            if event.what == "computed":
                return
            event = state.carrier.inbox.get()
        if event is None:
            self._look_up(state)
            return
        step, future = state.running.pop(event)
        result = self._outcome(future, step, state)
        if result.outcome is Outcome.FAILED:
            state.blocked[step.key] = f"needs '{step.label}', which failed"
        self._record(state, result)
        sorter.done(step.key)
        self._release(step, state, work, targets)

    def _look_up(self, state: _State) -> None:
        """Call back what runs elsewhere on an interruption, and what waits when it is late."""
        try:
            check_stopped()
        except Interrupted as error:
            state.interrupted = error
            state.cancel(state.running)
        if self._late():
            state.cancel(key for key in state.running if key not in state.started)

    def _hear(self, event: Event, state: _State) -> None:
        """Tell the listener; an event may come after the end of its step."""
        if event.key not in state.running:
            return
        step, _ = state.running[event.key]
        if event.what == "computed":
            state.sealing.add(event.key)
        elif event.what == "waiting":
            self._listener.waiting(step, event.holder)
        elif event.what == "started":
            state.started.add(event.key)
            self._listener.started(step)
        elif event.progress is not None:
            self._listener.progressed(step, event.progress)

    def _outcome(self, future: Future[StepResult], step: Step, state: _State) -> StepResult:
        try:
            return state.carrier.arrived(future.result(), self._store)
        except CancelledError:
            return self._cancelled(step, state)
        except Interrupted as error:
            state.interrupted = error
            return StepResult(step, Outcome.SKIPPED, error="interrupted")
        except Exception as error:
            cause = _expected(error) or state.carrier.explain(error)
            if cause is None:
                raise
            return self._failed(step, cause)

    def _cancelled(self, step: Step, state: _State) -> StepResult:
        """What was called back, or lost with the connection to who carried it out."""
        if state.interrupted is not None or (self._late() and step.key not in state.started):
            reason = LATE if state.interrupted is None else "interrupted"
            state.blocked[step.key] = reason
            return StepResult(step, Outcome.SKIPPED, error=reason)
        state.lost = "the connection to the cluster was lost"
        return self._failed(step, NetworkProblem(state.lost, "Run again: it goes on from there."))

    def _failed(self, step: Step, cause: OrchestrateError) -> StepResult:
        log = self._store.log_path(step.key)
        return StepResult(step, Outcome.FAILED, error=str(cause), log=log, cause=cause)

    def _record(self, state: _State, result: StepResult) -> None:
        state.results[result.step.key] = result
        share = self._share and not state.carrier.apart  # else it is there
        if share and result.outcome is Outcome.DONE and self._known.uploads is not None:
            self._known.uploads.send(result.step)
        self._listener.finished(result)

    # -- disk ----------------------------------------------------------------------------

    def _release(
        self, step: Step, state: _State, work: Mapping[str, Step], targets: Collection[str]
    ) -> None:
        """Give back what nobody needs any more now that a step is over, as the policy says.

        What failed, was interrupted or came too late still needs its inputs: another run goes
        on from there.
        """
        keep, results = self._settings.keep, state.results
        due = [
            one
            for key in (step.key, *step.inputs.values())
            if (one := work.get(key)) is not None
            and one.keep in RELEASED[keep]
            and key not in targets
            and key in results
            and results[key].outcome is Outcome.DONE
        ]
        if due:
            made = {k for k, one in results.items() if one.outcome in (Outcome.DONE, Outcome.HIT)}
            todo = (one for key, one in work.items() if key not in made)
            awaited = {key for one in todo for key in one.inputs.values()}
            free = [one for one in due if one.key not in awaited]
            release(self._store, free, keep, self._settings.keep_logits, awaited)


def _ancestors(step: Step, by_key: Mapping[str, Step]) -> tuple[Step, ...]:
    """All steps that a step's inputs come from."""
    found: dict[str, Step] = {}
    pending = [*step.inputs.values()]
    while pending:
        key = pending.pop()
        if key in by_key and key not in found:
            found[key] = by_key[key]
            pending += by_key[key].inputs.values()
    return tuple(found.values())


def _expected(error: Exception) -> OrchestrateError | None:
    """A failure that users can meet, as the error that says so; None for a bug."""
    if isinstance(error, OSError):
        return problem_of(error)
    return error if isinstance(error, OrchestrateError) else None
