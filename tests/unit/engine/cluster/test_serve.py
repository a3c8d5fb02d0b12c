"""What a worker looks at before it carries a job out, and whom it stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from orchestrator.base.errors import EnvironmentProblem, NetworkProblem
from orchestrator.base.step_values import Step
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster import serve
from orchestrator.engine.cluster.serve import Jobs, Site
from orchestrator.engine.step_worker import Job, Say, Settings
from tests.support.stores import KEY, OTHER, a_step, left_in


def test_an_input_whose_file_is_not_on_this_machine_is_no_damage(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", print)
    outside = tmp_path / "hub" / "model.safetensors"
    outside.parent.mkdir()
    outside.write_bytes(b"x")
    with store.lock(OTHER), store.stage(OTHER) as stage:
        reference = {"path": str(outside), "size": 1, "sha256": "0" * 64}
        store.commit(stage, a_step(OTHER), {"references": {"model": reference}})
    outside.unlink()
    jobs = Jobs(Site("far", store, 1, 1, {}))

    with pytest.raises(EnvironmentProblem, match=f"refers to {outside}, which worker far does not"):
        jobs.carry_out(Job(a_step(KEY), Settings(), store, 1), print, "task", store.root)

    assert left_in(store, "quarantine") == []


def test_threads_and_the_store_are_the_workers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = Mock()
    monkeypatch.setattr(serve, "carry_out_apart", carried)
    here, there = Store(tmp_path / "here", print), Store(tmp_path / "there", print)

    Jobs(Site("w", there, 2, 16, {})).carry_out(
        Job(Step("kind", "s", KEY, {}), Settings(), Store(here.root / "in" / "it", print), 1),
        print,
        "task",
        here.root,
    )

    [job, *_] = carried.call_args.args
    assert (job.threads, job.store.root) == (8, there.root / "in" / "it")


@pytest.mark.parametrize("before", [True, False])
def test_a_job_is_stopped_whether_it_is_cancelled_before_or_after_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    stopped = Mock()
    jobs = Jobs(Site("w", Store(tmp_path, print), 1, 1, {}))

    def carry(
        _job: Job, _say: Say, on_start: Callable[[Callable[[], None]], None], _folder: None
    ) -> None:
        if before:
            jobs.transition("task", "executing", "released")
        on_start(stopped)
        jobs.transition("other", "executing", "released")
        jobs.transition("task", "executing", "memory")
        assert stopped.call_count == before
        if not before:
            jobs.transition("task", "executing", "released")

    monkeypatch.setattr(serve, "carry_out_apart", carry)
    job = Job(Step("kind", "s", KEY, {}), Settings(), Store(tmp_path, print), 1)
    jobs.carry_out(job, print, "task", tmp_path)

    assert stopped.call_count == 1


def awaited(work: Coroutine[Any, Any, Any]) -> Any:
    """What comes of it, in a thread: the browser of other tests has a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def test_a_worker_that_comes_back_waits_until_its_name_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = EnvironmentProblem("worker w cannot join: name taken, w")
    started = AsyncMock(side_effect=[taken, taken, "joined"])
    monkeypatch.setattr(serve, "_started", started)
    monkeypatch.setattr(serve, "_AGAIN_SECONDS", 0)
    site = Site("w", Store(tmp_path, print), 1, 1, {})

    with pytest.raises(EnvironmentProblem, match="name taken"):
        awaited(serve._joined("tcp://x:1", site, 1, tmp_path, 0))
    again = serve._joined("tcp://x:1", site, 1, tmp_path, time.monotonic() + 60)

    assert awaited(again) == "joined"


def test_a_worker_that_finds_no_scheduler_does_not_wait_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_started", AsyncMock(side_effect=NetworkProblem("no scheduler")))
    site = Site("w", Store(tmp_path, print), 1, 1, {})

    with pytest.raises(NetworkProblem):
        awaited(serve._joined("tcp://x:1", site, 1, tmp_path, time.monotonic() + 60))
