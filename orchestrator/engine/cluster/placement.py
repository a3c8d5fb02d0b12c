"""What steps need and what workers have, in the words of Dask's resources; pure.

A resource with an amount is taken while a step runs (a slot, memory). A mark (the version, the
store, the machine) is there in any amount: it says where a step may run at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator import __version__
from orchestrator.base import units
from orchestrator.base.errors import EnvironmentProblem
from orchestrator.base.step_values import Resources, Step

CPU, NET, GPU, MEMORY, DISK = "cpu slots", "network slots", "GPUs", "memory", "disk"
VERSION, STORE, MACHINE, CACHE = "version ", "store ", "machine ", "cache "
PLENTY = 1e18
NET_SLOTS = 4
SHOWN: Mapping[str, Callable[[int], str]] = {MEMORY: units.size, DISK: units.size}

Offer = Mapping[str, float]


@dataclass(frozen=True)
class Worker:
    """A worker of a cluster: what messages call it, and its resources."""

    name: str
    offer: Offer

    def marked(self, kind: str) -> str:
        """The worker's mark of a kind; empty when it has none, as workers of others."""
        return next((one[len(kind) :] for one in self.offer if one.startswith(kind)), "")


def offer(
    *,
    jobs: int,
    gpus: int,
    memory: int,
    disk: int,
    store: str,
    machine: str,
    caches: Iterable[str] = (),
) -> dict[str, float]:
    """What a worker has; memory and disk in bytes, store, machine and caches by their ids."""
    marks = [f"{VERSION}{__version__}", f"{STORE}{store}", f"{MACHINE}{machine}"]
    marks += [f"{CACHE}{one}" for one in caches]
    amounts = {CPU: jobs, NET: NET_SLOTS, GPU: gpus, MEMORY: memory, DISK: disk}
    return {**dict.fromkeys(marks, PLENTY), **{name: float(one) for name, one in amounts.items()}}


def amounts(needed: Resources) -> dict[str, float]:
    """What a step takes while it runs."""
    found = {
        CPU: needed.cpu,
        NET: needed.net,
        GPU: needed.gpu,
        MEMORY: needed.memory_bytes,
        DISK: needed.fetch_bytes + needed.disk_bytes + needed.scratch_bytes,
    }
    return {name: float(amount) for name, amount in found.items() if amount}


def needs(needed: Resources, common: str, machine: str) -> dict[str, float]:
    """What a worker must have for a step.

    ``common`` is the mark of what it shares with the run, ``machine`` is where speeds are measured.
    """
    marks = {f"{VERSION}{__version__}": 1.0, common: 1.0}
    if needed.alone:
        marks[f"{MACHINE}{machine}"] = 1.0
    return {**marks, **amounts(needed)}


def common_cache(workers: Iterable[Worker], store: str, caches: Iterable[str]) -> str:
    """The first of a run's caches by which workers with other stores can work for it, or ''."""
    far = [w for w in workers if w.marked(VERSION) == __version__ and w.marked(STORE) != store]
    return next((one for one in caches if any(f"{CACHE}{one}" in w.offer for w in far)), "")


def usable(workers: Sequence[Worker], common: str, warn: Callable[[str], None]) -> list[Worker]:
    """The workers that can work for this run; the others are said to be left out, and why.

    Raises:
        EnvironmentProblem: There is none.
    """
    wrong = {one.name: why for one in workers if (why := _objection(one, common))}
    if len(wrong) == len(workers):
        reasons = "; ".join(f"{name} {why}" for name, why in wrong.items())
        raise EnvironmentProblem(
            f"the cluster has no worker for this run{': ' if reasons else ''}{reasons}",
            "Start one: 'orchestrate worker ADDRESS', with the same store or a shared cache.",
        )
    for name, why in wrong.items():
        warn(f"worker {name} is left out: it {why}")
    return [one for one in workers if one.name not in wrong]


def _objection(worker: Worker, common: str) -> str:
    version = worker.marked(VERSION)
    if not version:
        return "was not started by 'orchestrate worker'"
    if version != __version__:
        return f"has version {version} of orchestrate, this is {__version__}"
    if common in worker.offer:
        return ""
    cache = "no shared cache (ORCHESTRATE_REMOTE) that both may write to"
    if common.startswith(CACHE):
        return f"has {cache}, as the other workers and this run have"
    return f"has another store (ORCHESTRATE_HOME) than this run, and {cache}"


def timing_machine(workers: Sequence[Worker], here: str) -> str:
    """Where speeds are measured: on this machine if it works along, so that they compare."""
    machines = sorted(one.marked(MACHINE) for one in workers)
    return here if here in machines else machines[0]


def expect_room(steps: Iterable[Step], workers: Sequence[Worker], machine: str) -> None:
    """Refuse steps that no worker has room for.

    Raises:
        EnvironmentProblem: With the numbers of the first such step.
    """
    for step in steps:
        able = [w for w in workers if not step.resources.alone or w.marked(MACHINE) == machine]
        wanted = amounts(step.resources)
        if any(all(w.offer.get(name, 0) >= wanted[name] for name in wanted) for w in able):
            continue
        best = {name: max((w.offer.get(name, 0) for w in able), default=0) for name in wanted}
        short = [name for name in wanted if best[name] < wanted[name]] or list(wanted)
        raise EnvironmentProblem(
            f"no worker has what '{step.label}' needs: "
            + ", ".join(f"{_amount(n, wanted[n])}, at most {_amount(n, best[n])}" for n in short),
            "Start a worker with more (see 'orchestrate worker --help').",
        )


def _amount(name: str, amount: float) -> str:
    shown = SHOWN.get(name)
    return f"{shown(int(amount))} of {name}" if shown else f"{amount:g} {name}"
