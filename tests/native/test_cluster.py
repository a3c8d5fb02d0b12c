"""Runs on a cluster of real processes, of which some are killed, cut off or unfit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.base.errors import (
    EXIT_ENVIRONMENT,
    EnvironmentProblem,
    Interrupted,
    NetworkProblem,
)
from orchestrator.base.process import run_process
from orchestrator.engine.scheduler import LATE
from tests.support.child_processes import wait_for_end
from tests.support.cluster_steps import PHASES
from tests.support.cluster_trials import (
    CLIENT,
    Proxy,
    Trial,
    ancestors,
    waiting_step,
    write_certificates,
)
from tests.support.scheduler_runs import a_step, stored
from tests.support.stores import left_in
from tests.support.typed_commands import TINY, typed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    one = Trial(tmp_path)
    one.scheduler()
    yield one
    one.close()


def test_steps_are_carried_out_elsewhere_and_what_happens_is_heard_here(trial: Trial) -> None:
    trial.worker("one")
    a = a_step("a")
    bad = a_step("bad", a, kind="fail")

    ran = trial.run([a, a_step("b", a), bad])

    assert ran.outcomes == {"a": "done", "b": "done", "bad": "failed"}
    assert ran.of("bad").error == "bad went wrong\n  Mend it."
    assert ran.notes.heard[:2] == ["started a", "done a"]
    assert len(ran.notes.progress) == 2
    path = ran.of("b").path
    assert path is not None
    assert (path / "text").read_text() == "ab"


def test_a_second_worker_of_a_label_is_refused(trial: Trial) -> None:
    trial.worker("one")
    second = ("-m", "orchestrator", "worker", trial.address, "--label", "one")

    refused = trial.start("second", *second)

    assert refused.wait() == EXIT_ENVIRONMENT
    assert "worker one cannot join" in trial.said("second")


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_worker_takes_its_tool_along_and_another_does_the_step(
    trial: Trial, phase: str
) -> None:
    for name in ("one", "two"):
        trial.worker(name)
    step = trial.place(waiting_step(trial, "slow"), phase)
    with trial.running(step) as run:
        first = trial.begun(step, phase)
        dead = trial.worker_of(first)

        trial.kill(dead)

        assert wait_for_end(first)
        if phase != "committed":  # else it is there
            second = trial.begun(step, phase)
            assert trial.worker_of(second) == ({"one", "two"} - {dead}).pop()
            trial.let_go(step, phase)
        ran = run.result()
    assert ran.outcomes == {"slow": "hit" if phase == "committed" else "done"}
    trial.store.sweep()  # as the next run does; it spares what somebody works on
    assert left_in(trial.store, "staging") == []
    assert stored(trial.store.root, step) == ["slow"]


def test_a_step_whose_workers_die_more_often_than_dask_allows_fails(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    try:
        trial.scheduler(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
        trial.worker("one")
        step = trial.place(waiting_step(trial, "slow"))
        with trial.running(step) as run:
            trial.begun(step)
            trial.kill("one")
            result = run.result().of("slow")
        assert result.error.startswith("its worker died, at attempt 1\n  The last was one;")
    finally:
        trial.close()


def test_a_killed_client_takes_its_tools_along_and_the_worker_goes_on(trial: Trial) -> None:
    trial.worker("one")
    step = trial.place(waiting_step(trial, "slow"))
    words = (str(trial.folder), str(trial.port), "slow", trial.address)
    trial.start("client", "-c", CLIENT, *words)
    tool = trial.begun(step)

    trial.kill("client")

    assert wait_for_end(tool)
    assert trial.run([a_step("other")]).outcomes == {"other": "done"}
    assert left_in(trial.store, "staging") == []


def test_an_interruption_ends_the_tools_of_the_workers(trial: Trial) -> None:
    trial.worker("one")
    step = trial.place(waiting_step(trial, "slow"))
    try:
        with trial.running(step) as run:
            tool = trial.begun(step)
            run_process.stop_all()
            with pytest.raises(Interrupted):
                run.result()
    finally:
        run_process.resume()
    assert wait_for_end(tool)


def test_a_killed_scheduler_ends_the_run_and_the_tools(trial: Trial) -> None:
    trial.worker("one")
    step = trial.place(waiting_step(trial, "slow"))
    below = a_step("below", step)
    with trial.running(step, below) as run:
        tool = trial.begun(step)
        trial.kill("scheduler")
        ran = run.result()

    assert wait_for_end(tool)
    assert ran.outcomes == {"slow": "failed", "below": "skipped"}
    assert isinstance(ran.of("slow").cause, NetworkProblem)
    trial.wait_for_log("one", "lost tcp://")
    trial.scheduler()
    trial.wait_for_log("one", "works for", 2)
    assert trial.run([a_step("other")]).outcomes == {"other": "done"}


def test_a_worker_that_was_cut_off_stops_its_tool_and_comes_back(trial: Trial) -> None:
    proxy = Proxy(trial.port)
    trial.worker("one", port=proxy.port)
    step = trial.place(waiting_step(trial, "slow"))
    with trial.running(step) as run:
        first = trial.begun(step)
        proxy.cut()
        assert wait_for_end(first)
        trial.wait_for_log("one", "lost tcp://")
        proxy.join()
        assert trial.begun(step) != first
        trial.let_go(step)
        assert run.result().outcomes == {"slow": "done"}


def test_a_run_that_was_cut_off_says_so_and_its_tools_end(trial: Trial) -> None:
    trial.worker("one")
    proxy = Proxy(trial.port)
    step = trial.place(waiting_step(trial, "slow"))
    far = Trial(trial.folder, proxy.port)
    with far.running(step) as run:
        tool = trial.begun(step)
        proxy.cut()
        assert wait_for_end(tool)
        assert isinstance(run.result().of("slow").cause, NetworkProblem)


def test_a_step_that_fits_no_worker_is_refused_before_any_work(trial: Trial) -> None:
    trial.worker("one", "--memory", "1GB")
    trial.worker("two", "--memory", "2GB")
    first = a_step("first")
    merge = a_step("merge", first, memory_bytes=16 * 10**9)

    with pytest.raises(EnvironmentProblem, match=r"'merge' needs: 16.0 GB of memory, at most 2.00"):
        trial.run([first, merge])

    assert stored(trial.store.root, first) == []


def test_a_step_goes_where_there_is_room_for_it(trial: Trial) -> None:
    trial.worker("small", "--memory", "1GB")
    trial.worker("large", "--memory", "20GB", "--gpu", "1")
    steps = [
        trial.place(waiting_step(trial, "merge", memory_bytes=16 * 10**9)),
        trial.place(waiting_step(trial, "on a GPU", gpu=True)),
    ]
    with trial.running(*steps) as run:
        for _ in range(2):  # one after the other: the worker has one slot
            step = trial.first_of(steps)
            assert trial.worker_of(trial.begun(step)) == "large"
            steps = [one for one in steps if one is not step]
            trial.let_go(step)
        assert set(run.result().outcomes.values()) == {"done"}


def test_workers_of_another_version_and_another_store_are_left_out(
    trial: Trial, tmp_path: Path
) -> None:
    trial.worker("old", env={"TRIAL_VERSION": "0.0.1"})
    trial.worker("far", env={"ORCHESTRATE_HOME": str(tmp_path / "elsewhere")})

    with pytest.raises(EnvironmentProblem) as refused:
        trial.run([a_step("a")])

    assert f"old has version 0.0.1 of orchestrate, this is {__version__}" in str(refused.value)
    assert "far has another store" in str(refused.value)


def test_what_waits_for_a_worker_when_the_time_is_up_is_not_started(trial: Trial) -> None:
    trial.worker("one")
    first = trial.place(waiting_step(trial, "first"))
    second = waiting_step(trial, "second")
    with trial.running(first, second, deadline=0) as run:
        ran = run.result()

    assert {one.error for one in ran.results} == {LATE}


def test_local_workers_carry_out_a_run_and_end_with_it(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", trial.taught())
    step = trial.place(waiting_step(trial, "slow"))
    trial.let_go(step)
    ran = trial.run([step], "local:2")

    assert ran.outcomes == {"slow": "done"}
    assert wait_for_end(trial.begun(step))


def test_local_workers_end_with_a_killed_run(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    step = trial.place(waiting_step(trial, "slow"))
    try:
        trial.start("client", "-c", CLIENT, str(tmp_path), str(trial.port), "slow", "local:2")
        tool = trial.begun(step)
        between = ancestors(tool, trial.processes["client"].pid)
        trial.kill("client")
        # The tool's guard, the job, its guard, the worker and its guard.
        assert len(between) == 5
        assert all(wait_for_end(pid) for pid in (tool, *between))
    finally:
        trial.close()


CLUSTER = """
import sys
from pathlib import Path
from tests.support.cluster_trials import Trial
from tests.support.scheduler_runs import a_step
print(Trial(Path(sys.argv[1]), int(sys.argv[2]), "tls").run([a_step("a")]).outcomes)
"""


def test_with_tls_only_who_has_a_certificate_gets_in(tmp_path: Path) -> None:
    """Dask's configuration says where certificates are, so each process needs its own."""
    write_certificates(tmp_path / "tls")
    write_certificates(tmp_path / "other")
    certified = {"DASK_CONFIG": str(tmp_path / "tls")}
    strange = {"DASK_CONFIG": str(tmp_path / "other")}
    trial = Trial(tmp_path, scheme="tls")
    words = (str(tmp_path), str(trial.port))
    joining = ("-m", "orchestrator", "worker", trial.address, "--patience", "5")
    try:
        trial.scheduler(**certified)
        trial.worker("one", env=certified)
        client = trial.start("client", "-c", CLUSTER, *words, **certified)
        stranger = trial.start("stranger", *joining, **strange)

        assert client.wait() == 0, trial.said("client")
        assert "{'a': 'done'}" in trial.said("client")
        assert stranger.wait() == EXIT_ENVIRONMENT
        assert "there was no scheduler at tls://" in trial.said("stranger")
    finally:
        trial.close()


def test_a_recipe_is_made_by_local_workers_with_the_bytes_that_it_states(
    store_with: Callable[..., Path], tmp_path: Path
) -> None:
    """The recipe states the SHA-256 of its files, and the run checks them."""
    home = store_with("llama.cpp")
    words = (TINY, "--only", "Q4_0", "--out", tmp_path / "dist", "--cluster", "local:2")

    said = typed("run", *words)

    assert said.code == 0, said.all
    assert "✓ quantize tiny-llama to Q4_0" in said.err
    assert (home / "store.id").exists()
    assert "✓" not in typed("run", *words[:-2]).err  # nothing is left to do here
