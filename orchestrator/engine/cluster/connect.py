"""The side of a cluster that a run sees: a carrier of jobs, made of a client of Dask's."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from orchestrator.base import interruptible_sleep, machine_info
from orchestrator.base.errors import Interrupted, NetworkProblem, OrchestrateError, StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Step, StepResult
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster import addresses, own_folder, placement, serve, store_id
from orchestrator.engine.cluster.exchange import Exchange
from orchestrator.engine.scheduler import Carrier
from orchestrator.engine.shared_cache.places import Remote
from orchestrator.engine.step_worker import Event
from orchestrator.sources.attended_stream import TooLateError, within

_CONNECT_SECONDS = 30
# A scheduler that was started with this command may not listen yet.
_REFUSED_SECONDS = 3
_START_SECONDS = 120
# How long another machine's new files may take to show here; NFS caches names for seconds.
_VISIBLE_SECONDS = 30.0
_TICK_SECONDS = 0.25


@contextmanager
def connected(
    cluster: str,
    store: Store,
    remote: Remote = Remote(),  # noqa: B008 - frozen
) -> Iterator[Carrier]:
    """A carrier that hands jobs to a cluster, of whose workers those with this store work.

    Those with other stores work along where they write to a shared cache of this run.

    Args:
        cluster: ``local:N``, or a scheduler's address that :func:`addresses.check` let pass.
        store: The run's store.
        remote: Its shared caches.

    Raises:
        NetworkProblem: There is no scheduler.
        EnvironmentProblem: No worker can work for this run.
    """
    addresses.quiet()
    with contextlib.ExitStack() as stack:
        count = addresses.local_workers(cluster)
        address = stack.enter_context(_scheduler_here()) if count else cluster
        client = stack.enter_context(_client(address))
        if count:
            stack.enter_context(_workers_here(address, count, store, client))
        yield _Cluster(client, address, store, remote).carrier()


@contextmanager
def _client(address: str) -> Iterator[Any]:
    from distributed import Client  # noqa: PLC0415 - of an extra

    def connect() -> Any:
        _expect_listener(address)
        return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)

    try:
        # Of a server that is no scheduler Dask waits for ever for an answer, deaf to interrupts,
        # or takes the first bytes for a length and asks for as much memory.
        client = within(_CONNECT_SECONDS + 1, connect)
    except (OSError, MemoryError, TooLateError) as error:
        raise NetworkProblem(
            f"there is no scheduler at {address}", "Start one with 'dask scheduler'."
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=5)


def _expect_listener(address: str) -> None:
    """Give up soon where nobody listens, which Dask tries for as long as it may.

    Raises:
        OSError: Nobody does.
    """
    parts, end = urlsplit(address), time.monotonic() + _REFUSED_SECONDS
    while True:
        try:
            with socket.create_connection((parts.hostname, parts.port or 0), _CONNECT_SECONDS):
                return
        except ConnectionRefusedError:
            if time.monotonic() >= end:
                raise
        time.sleep(_TICK_SECONDS)  # in a thread that an interrupt leaves behind


@contextmanager
def _scheduler_here() -> Iterator[str]:
    """A scheduler in this process that only this machine reaches."""
    from distributed import LocalCluster  # noqa: PLC0415 - of an extra

    with LocalCluster(
        n_workers=0,
        processes=False,
        host="tcp://127.0.0.1",
        scheduler_port=0,
        dashboard_address=None,
    ) as cluster:
        yield cluster.scheduler_address


@contextmanager
def _workers_here(address: str, count: int, store: Store, client: Any) -> Iterator[None]:
    """Workers on this machine that share its cores and memory; they end with this process."""
    memory, threads = machine_info.memory_total() // count, machine_info.cores() // count
    options = ("--memory", str(memory), "--threads", str(max(1, threads)))
    argv = [sys.executable, "-m", "orchestrator", "worker", address, *options, "--label"]
    environment = {**os.environ, "ORCHESTRATE_HOME": str(store.root)}
    stops: list[Callable[[], None]] = []

    def one(number: int, folder: Path) -> str:
        with contextlib.suppress(Interrupted):
            return run_process.run(
                [*argv, f"local {number}"],
                cwd=folder,
                log=folder / f"{number}.log",
                env=environment,
                on_start=stops.append,
                check=False,
            ).tail
        return ""

    with (
        own_folder.temporary("cluster") as folder,
        ThreadPoolExecutor(count) as pool,
    ):
        running = [pool.submit(one, number, folder) for number in range(1, count + 1)]
        try:
            end = time.monotonic() + _START_SECONDS
            while len(client.scheduler_info()["workers"]) < count:
                ended = [one.result() for one in running if one.done()]
                if ended or time.monotonic() >= end:
                    raise StepError(f"a worker did not start: {''.join(ended)}")
                interruptible_sleep.sleep(_TICK_SECONDS)
            yield
        finally:
            for stop in stops:
                stop()


@dataclass
class _Cluster:
    """A connected client and the workers there were when the run began."""

    client: Any
    address: str
    store: Store
    remote: Remote
    exchange: Exchange | None = None
    common: str = ""
    machine: str = ""

    def carrier(self) -> Carrier:
        """The carrier of this cluster."""
        events: SimpleQueue[Event | str] = SimpleQueue()
        topic = f"orchestrate {uuid.uuid4().hex}"
        self.client.subscribe_topic(topic, lambda message: events.put(pickle.loads(message[1])))  # noqa: S301
        self._meet()
        self.machine = placement.timing_machine(self.workers(), machine_info.identity())
        return Carrier(
            executor=self.executor,
            inbox=_Inbox(events),
            say=serve.Topic(topic),
            work=partial(
                serve.work,
                home=self.store.root,
                cache=self.exchange.id if self.exchange else "",
            ),
            own_slots=False,
            apart=self.exchange is not None,
            admit=self.admit,
            arrived=self.arrived,
            explain=self.explain,
        )

    def _all(self) -> list[placement.Worker]:
        known = self.client.scheduler_info()["workers"].values()
        return [placement.Worker(str(one["name"]), one["resources"]) for one in known]

    def _meet(self) -> None:
        """Find what the workers have in common with the run: its store, or a shared cache."""
        own = store_id.store_id(self.store)
        self.common = f"{placement.STORE}{own}"
        if all(self.common in one.offer for one in self._all()):
            return
        caches = store_id.caches(self.remote, self.store.warn)
        if found := placement.common_cache(self._all(), own, caches):
            self.common = f"{placement.CACHE}{found}"
            alone = replace(self.remote, places=(caches[found],))
            self.exchange = Exchange(found, alone, self.store)

    def workers(self) -> list[placement.Worker]:
        """The workers that can work for this run."""
        return placement.usable(self._all(), self.common, self.store.warn)

    def admit(
        self, work: Mapping[str, Step], steps: Mapping[str, Step], targets: Collection[str]
    ) -> None:
        if self.exchange is not None:
            self.exchange.begin(work, steps, targets)
        placement.expect_room(map(self._sized, work.values()), self.workers(), self.machine)
        if self.exchange is not None:
            self.exchange.send(work)

    def _sized(self, step: Step) -> Step:
        return self.exchange.sized(step) if self.exchange else step

    def executor(self, step: Step) -> Executor:
        """Where there is room; if it may be, where what it reads is that is not shared."""
        needs = placement.needs(self._sized(step).resources, self.common, self.machine)
        stores = self.exchange.stores(step) if self.exchange else set()
        where: dict[str, Any] = {}
        if stores:
            near = [one.name for one in self._all() if one.marked(placement.STORE) in stores]
            where = {"workers": near, "allow_other_workers": True}
        executor: Executor = self.client.get_executor(pure=False, resources=needs, **where)
        return executor

    def arrived(self, result: StepResult, store: Store) -> StepResult:
        """A result of a worker's, by the path that its artifact has here."""
        if self.exchange is not None:
            return self.exchange.arrived(result)
        end = time.monotonic() + _VISIBLE_SECONDS
        while (found := store.find(result.step.key)) is None:
            if time.monotonic() >= end:
                raise StepError(
                    f"{result.step.label}: a worker made it, but it is not in {store.root}",
                    "Give all machines the same store, on a disk that they share.",
                )
            interruptible_sleep.sleep(_TICK_SECONDS)
        return replace(result, path=found.path)

    def explain(self, error: BaseException) -> OrchestrateError | None:
        from distributed import KilledWorker  # noqa: PLC0415 - of an extra

        if isinstance(error, KilledWorker):
            return StepError(
                f"its worker died, at attempt {error.allowed_failures + 1}",
                f"The last was {error.last_worker.name}; that machine may lack memory.",
            )
        return None


class _Inbox:
    """A queue whose reader looks up now and then."""

    def __init__(self, events: SimpleQueue[Event | str]) -> None:
        self._events = events
        self.put = events.put

    def get(self) -> Event | str | None:
        """Wait for an event, a moment at most."""
        try:
            return self._events.get(timeout=_TICK_SECONDS)
        except Empty:
            return None
