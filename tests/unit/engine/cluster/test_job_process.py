"""A job in a process of its own: what it says, and that it can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.base.errors import Interrupted, StepError
from orchestrator.base.step_values import Outcome, Step
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster.job_process import carry_out_apart
from orchestrator.engine.step_worker import Event, Job, Settings
from tests.support.child_processes import wait_for_end
from tests.support.cluster_trials import Trial, waiting_step
from tests.support.scheduler_runs import a_step, stored


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    one = Trial(tmp_path)
    monkeypatch.setenv("PYTHONPATH", one.taught())
    return one


def job(trial: Trial, step: Step) -> Job:
    return Job(step, Settings(), Store(trial.folder / "store", print), 1)


def ignore(_stop: Callable[[], None]) -> None:
    """Nobody will stop it."""


def test_it_says_what_happens_and_gives_the_result(trial: Trial) -> None:
    said: list[Event] = []
    step = a_step("a")

    result = carry_out_apart(job(trial, step), said.append, ignore)

    assert result.outcome is Outcome.DONE
    assert [event.what for event in said] == ["started", "progressed", "computed"]
    assert stored(trial.store.root, step) == ["a"]


def test_a_failure_comes_as_the_error_that_it_is(trial: Trial) -> None:
    with pytest.raises(StepError, match="bad went wrong"):
        carry_out_apart(job(trial, a_step("bad", kind="fail")), print, ignore)


def test_a_bug_comes_with_its_traceback(trial: Trial) -> None:
    with pytest.raises(StepError, match=r"ended without a result(.|\n)*KeyError: 'nothing'"):
        carry_out_apart(job(trial, a_step("x", kind="nothing")), print, ignore)


def test_it_is_stopped_alone_and_its_tool_with_it(trial: Trial) -> None:
    step = trial.place(waiting_step(trial, "slow"))
    stops: list[Callable[[], None]] = []
    ended: list[BaseException] = []

    def carry() -> None:
        try:
            carry_out_apart(job(trial, step), print, stops.append)
        except Interrupted as error:
            ended.append(error)

    thread = threading.Thread(target=carry)
    thread.start()
    tool = trial.begun(step)
    stops[0]()
    thread.join()

    assert len(ended) == 1
    assert wait_for_end(tool)
