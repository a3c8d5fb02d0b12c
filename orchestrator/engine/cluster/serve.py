"""A worker of a cluster: a Dask worker that carries jobs out against the store of its machine."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.base.errors import EnvironmentProblem, Interrupted, NetworkProblem
from orchestrator.base.step_values import StepResult
from orchestrator.engine import artifact
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster import addresses, own_folder
from orchestrator.engine.cluster.job_process import carry_out_apart
from orchestrator.engine.shared_cache.places import Place, Remote
from orchestrator.engine.step_worker import Event, Job, Say

_JOBS = "orchestrate jobs"  # the plugin's name
_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Site:
    """A worker's own: what it is called, its store, jobs at once, threads of all, resources.

    ``caches`` are those that it may write to, by their ids, of all in ``remote``.
    """

    name: str
    store: Store
    jobs: int
    threads: int
    offer: Mapping[str, float]
    remote: Remote = field(default_factory=Remote)
    caches: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True)
class Topic:
    """Says events on a topic of Dask's; called in a worker's thread, where a job is."""

    name: str

    def __call__(self, event: Event) -> None:
        """Send an event to who listens to the topic."""
        from distributed import get_worker  # noqa: PLC0415 - of an extra

        get_worker().log_event(self.name, pickle.dumps(event))


def work(job: Job, say: Say, home: Path, cache: str = "") -> StepResult:
    """Carry a job out on this worker; what was stopped here is done elsewhere.

    The job's store is ``home`` or in it, as the run sees the store of this worker. With the id of
    a cache, what the job reads and makes goes through that.

    Raises:
        OrchestrateError: As ``carry_out``.
    """
    from distributed import Reschedule, get_worker  # noqa: PLC0415 - of an extra

    worker = get_worker()
    jobs: Jobs = worker.plugins[_JOBS]
    try:
        return jobs.carry_out(job, say, str(worker.get_current_task()), home, cache)
    except Interrupted as error:
        raise Reschedule from error


@dataclass
class Jobs:
    """The jobs of this worker and how each is stopped; a plugin of Dask's worker."""

    site: Site
    folder: Path | None = None
    _stops: dict[str, Callable[[], None]] = field(default_factory=dict)
    _cancelled: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def carry_out(self, job: Job, say: Say, task: str, home: Path, cache: str = "") -> StepResult:
        """Carry out the job of one of Dask's tasks, in this worker's store."""
        # What a worker may do with a cache its own settings say, not those of a run.
        places = (self.site.caches[cache],) if cache else ()
        remote = replace(self.site.remote, places=places)
        own = replace(
            job,
            settings=replace(job.settings, remote=remote),
            store=job.store.seen_at(self.site.store.root / job.store.root.relative_to(home)),
            threads=max(1, self.site.threads // self.site.jobs),
        )
        self._expect_references(own)
        try:
            return carry_out_apart(own, say, lambda stop: self._begun(task, stop), self.folder)
        finally:
            with self._lock:
                self._stops.pop(task, None)
                self._cancelled.discard(task)

    def _expect_references(self, job: Job) -> None:
        """Refuse inputs that lie outside the store and are not on this machine.

        The store would take them for damaged.
        """
        for name, key in job.step.inputs.items():
            found = job.store.find(key, quick=True)
            missing = next(artifact.missing_references(found), None) if found else None
            if missing is not None:
                raise EnvironmentProblem(
                    f"{job.step.label}: its input {name!r} refers to {missing}, which worker "
                    f"{self.site.name} does not see",
                    "Share that folder too (the Hub's cache is at HF_HOME), at the same path.",
                )

    def _begun(self, task: str, stop: Callable[[], None]) -> None:
        with self._lock:
            self._stops[task] = stop
            cancelled = task in self._cancelled
        if cancelled:
            stop()

    def transition(self, key: object, start: str, finish: str, **_more: object) -> None:
        """Stop the tools of a job whose run was cancelled or has gone; Dask calls this."""
        if (start, finish) == ("executing", "released"):
            with self._lock:
                self._cancelled.add(str(key))
                stop = self._stops.get(str(key))
            if stop is not None:
                stop()

    def teardown(self, worker: object) -> None:
        """Stop everything: this worker closes, or its scheduler is gone; Dask calls this."""
        del worker
        with self._lock:
            stops = list(self._stops.values())
        for stop in stops:
            stop()


def serve(
    address: str, site: Site, patience: float, say: Callable[[str], None], stop: Stop
) -> None:
    """Work for a scheduler until asked to stop; what is lost is looked for again.

    Args:
        address: The scheduler's.
        site: What this worker has.
        patience: Seconds to look for the scheduler, at first and whenever it is lost.
        say: Told when this worker is connected, and when no longer.
        stop: Asked whether to go on.

    Raises:
        NetworkProblem: There was no scheduler for that long.
    """
    addresses.quiet()
    with own_folder.temporary("worker") as folder:
        asyncio.run(_serve(address, site, patience=patience, say=say, stop=stop, folder=folder))


class Stop:
    """Ends a worker, from a signal handler."""

    def __init__(self) -> None:
        self.asked = False
        self._wake: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Ask it to end."""
        self.asked = True
        if self._wake is not None:
            self._wake()

    async def wait(self) -> None:
        """Wait until it is asked."""
        event, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(event.set)

        self._wake = wake
        if not self.asked:
            await event.wait()


async def _serve(
    address: str,
    site: Site,
    *,
    patience: float,
    say: Callable[[str], None],
    stop: Stop,
    folder: Path,
) -> None:
    stopping = asyncio.create_task(stop.wait())
    again = 0.0
    while not stop.asked:
        starting = asyncio.create_task(_joined(address, site, patience, folder, again))
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        worker = starting.result()
        say(f"worker {site.name} works for {address}")
        lost = asyncio.create_task(worker.finished())
        await asyncio.wait({lost, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.asked:
            say(f"worker {site.name} lost {address}; its tools were stopped")
        await worker.close()
        again = time.monotonic() + patience


async def _joined(address: str, site: Site, patience: float, folder: Path, again: float) -> Any:
    """A started worker; until ``again`` the scheduler may still count the lost one of its name."""
    while True:
        try:
            return await _started(address, site, patience, folder)
        except NetworkProblem:
            raise
        except EnvironmentProblem:
            if time.monotonic() >= again:
                raise
        await asyncio.sleep(_AGAIN_SECONDS)


async def _started(address: str, site: Site, patience: float, folder: Path) -> Any:
    from distributed import Worker, WorkerPlugin  # noqa: PLC0415 - of an extra

    class Plugin(Jobs, WorkerPlugin):  # type: ignore[misc]
        name = _JOBS

    try:
        return await Worker(
            address,
            name=site.name,
            host=addresses.own_host(address),
            # Fetches and waits for locks overlap with what computes.
            nthreads=int(2 * site.jobs) + 4,
            resources=dict(site.offer),
            plugins=(Plugin(site, folder),),
            memory_limit=0,  # the tools' memory is counted as a resource, before they start
            local_directory=str(folder),
            death_timeout=patience,
        )
    except (OSError, TimeoutError, asyncio.TimeoutError) as error:
        raise NetworkProblem(
            f"there was no scheduler at {address} for {patience:g} s",
            "Start one with 'dask scheduler'.",
        ) from error
    except RuntimeError as error:  # the scheduler's answer is its cause
        raise EnvironmentProblem(
            f"worker {site.name} cannot join {address}: {error.__cause__ or error}",
            "Give a scheduler's address; no two workers of a cluster have one label (--label).",
        ) from error
