"""Which worker may do a step, and what is said when none may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator import __version__
from orchestrator.base.errors import EnvironmentProblem
from orchestrator.base.step_values import Resources
from orchestrator.engine.cluster import placement
from orchestrator.engine.cluster.placement import Worker
from tests.support.scheduler_runs import a_step

GB = 10**9


def a_worker(
    name: str, machine: str = "m", store: str = "s", caches: Sequence[str] = (), **more: Any
) -> Worker:
    amounts = {"jobs": 1, "gpus": 0, "memory": 8 * GB, "disk": 100 * GB, **more}
    return Worker(name, placement.offer(store=store, machine=machine, caches=caches, **amounts))


def test_a_step_takes_what_it_needs_and_no_more() -> None:
    needed = Resources(cpu=True, gpu=True, memory_bytes=5, disk_bytes=2, scratch_bytes=3)

    assert placement.amounts(needed) == {"cpu slots": 1, "GPUs": 1, "memory": 5, "disk": 5}
    assert placement.amounts(Resources(net=True, fetch_bytes=7)) == {"network slots": 1, "disk": 7}
    assert placement.amounts(Resources()) == {}


def test_what_is_asked_of_dask_is_what_such_a_worker_has() -> None:
    needs = placement.needs(Resources(cpu=True, alone=True, memory_bytes=GB), "store s", "m")

    assert all(a_worker("w").offer[name] >= amount for name, amount in needs.items())
    assert needs.keys() - a_worker("w", machine="other").offer.keys() == {"machine m"}
    assert needs.keys() - a_worker("w", store="other").offer.keys() == {"store s"}


def test_only_speeds_are_bound_to_a_machine() -> None:
    assert "machine m" not in placement.needs(Resources(cpu=True), "store s", "m")


def test_workers_that_cannot_help_are_left_out_with_a_reason() -> None:
    said: list[str] = []
    old = Worker("old", {"version 0.0.1": 1.0, "store s": 1.0})
    good = a_worker("good")

    assert placement.usable([old, good, Worker("dask", {})], "store s", said.append) == [good]
    assert said == [
        f"worker old is left out: it has version 0.0.1 of orchestrate, this is {__version__}",
        "worker dask is left out: it was not started by 'orchestrate worker'",
    ]


def test_a_cluster_without_a_worker_for_this_run_is_refused() -> None:
    with pytest.raises(EnvironmentProblem, match=r"no worker for this run\n"):
        placement.usable([], "store s", print)
    with pytest.raises(EnvironmentProblem, match="far has another store"):
        placement.usable([a_worker("far", store="other")], "store s", print)


def test_speeds_are_measured_here_if_this_machine_works_along_else_always_there() -> None:
    workers = [a_worker("w", machine="b"), a_worker("v", machine="a")]

    assert placement.timing_machine(workers, "b") == "b"
    assert placement.timing_machine(workers, "c") == "a"


def test_what_fits_somewhere_is_let_pass() -> None:
    step = a_step("merge", memory_bytes=16 * GB)

    placement.expect_room([step], [a_worker("small"), a_worker("large", memory=20 * GB)], "m")


@pytest.mark.parametrize(
    ("needed", "numbers"),
    [
        ({"memory_bytes": 16 * GB}, "16.0 GB of memory, at most 8.00 GB of memory"),
        ({"gpu": True}, "1 GPUs, at most 0 GPUs"),
        ({"disk_bytes": 300 * GB, "cpu": True}, "300 GB of disk, at most 100 GB of disk"),
    ],
)
def test_what_fits_nowhere_is_refused_with_the_numbers(
    needed: dict[str, Any], numbers: str
) -> None:
    with pytest.raises(EnvironmentProblem, match=f"'merge' needs: {numbers}"):
        placement.expect_room([a_step("merge", **needed)], [a_worker("w")], "m")


def test_a_timed_step_must_fit_on_its_machine() -> None:
    step = a_step("speed", memory_bytes=16 * GB, alone=True)
    workers = [a_worker("here"), a_worker("there", machine="n", memory=20 * GB)]

    with pytest.raises(EnvironmentProblem, match=r"at most 8\.00 GB"):
        placement.expect_room([step], workers, "m")


def test_what_two_workers_have_only_between_them_is_refused() -> None:
    step = a_step("both", memory_bytes=16 * GB, gpu=True)
    workers = [a_worker("gpu", gpus=1), a_worker("memory", memory=20 * GB)]

    with pytest.raises(EnvironmentProblem, match="no worker has what 'both' needs"):
        placement.expect_room([step], workers, "m")


def test_workers_with_other_stores_work_along_by_the_first_cache_that_they_write_to() -> None:
    said: list[str] = []
    near, far = a_worker("near"), a_worker("far", store="o", caches=["b", "c"])
    also = a_worker("also", caches=["c"])
    old = Worker("old", {"version 0.0.1": 1.0, "store o": 1.0, "cache a": 1.0})

    found = placement.common_cache([near, far, also, old], "s", ["a", "c", "b"])

    assert found == "c"
    assert placement.usable([near, far, also], "cache c", said.append) == [far, also]
    assert said == [
        "worker near is left out: it has no shared cache (ORCHESTRATE_REMOTE) that both may "
        "write to, as the other workers and this run have"
    ]
    assert "cache c" in placement.needs(Resources(), "cache c", "m")


@pytest.mark.parametrize("caches", [[], ["z"]])
def test_without_a_worker_of_another_store_that_writes_there_no_cache_is_used(
    caches: list[str],
) -> None:
    workers = [a_worker("near", caches=["a"]), a_worker("far", store="o", caches=caches)]

    assert placement.common_cache(workers, "s", ["a"]) == ""
