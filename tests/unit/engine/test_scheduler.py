"""The runner on the real store: what runs, what is skipped, what is released."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest

from orchestrator.base.errors import EnvironmentProblem, Interrupted, OrchestrateError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import JSON, Step, Task
from orchestrator.engine import scheduler as runner
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.scheduler import Carrier, Runner, Settings
from orchestrator.toolchain import call_verb
from tests.support.scheduler_runs import (
    Notes,
    Ran,
    a_step,
    fail,
    own,
    run,
    stored,
    teach,
    write_text,
)
from tests.support.stores import left_in


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    teach(monkeypatch, text=write_text, fail=fail)


A = a_step("a")
B = a_step("b", A)
C = a_step("c", A, B)


def test_steps_see_what_they_read(tmp_path: Path) -> None:
    ran = run(tmp_path, [A, B, C])

    assert ran.outcomes == {"a": "done", "b": "done", "c": "done"}
    path = ran.of("c").path
    assert path is not None
    assert (path / "text").read_text() == "aabc"
    assert ran.of("c").facts["length"] == 4
    assert ran.notes.heard[:2] == ["started a", "done a"]
    assert len(ran.notes.progress) == 3


def test_what_is_done_is_not_repeated(tmp_path: Path) -> None:
    run(tmp_path, [A, B, C])

    again = run(tmp_path, [A, B, C])

    assert again.outcomes == {"c": "hit"}
    assert again.notes.heard == ["hit c"]
    assert again.of("c").facts["length"] == 4


def test_only_what_the_targets_need_runs(tmp_path: Path) -> None:
    assert run(tmp_path, [A, B, C], B).worked == ["a", "b"]
    assert run(tmp_path, [A, B, C]).worked == ["c"]


def test_a_missing_input_of_a_finished_target_is_no_work(tmp_path: Path) -> None:
    run(tmp_path, [A, B])
    Store(tmp_path, print).release(A.key)

    assert run(tmp_path, [A, B]).outcomes == {"b": "hit"}
    assert run(tmp_path, [A, B, C]).worked == ["a", "c"]


def test_a_failure_skips_what_depends_on_it_and_nothing_else(tmp_path: Path) -> None:
    bad = a_step("bad", A, kind="fail")
    below, deeper = a_step("below", bad), a_step("deeper", a_step("below", bad))
    steps = [A, bad, below, deeper, B]

    ran = run(tmp_path, steps, deeper, B)

    assert ran.outcomes == {
        "a": "done",
        "bad": "failed",
        "below": "skipped",
        "deeper": "skipped",
        "b": "done",
    }
    assert ran.of("bad").error == "bad went wrong\n  Mend it."
    assert isinstance(ran.of("bad").cause, OrchestrateError)
    assert ran.of("bad").log == Store(tmp_path, print).log_path(bad.key)
    assert ran.of("deeper").error == "needs 'bad', which failed"
    assert left_in(Store(tmp_path, print), "staging") == []


def test_a_gate_holds_without_being_read(tmp_path: Path) -> None:
    gate = a_step("gate", kind="fail")
    held = a_step("held", after=[gate])

    assert run(tmp_path, [gate, held]).outcomes == {"gate": "failed", "held": "skipped"}


def test_a_gate_is_passed_before(tmp_path: Path) -> None:
    gate = a_step("gate")
    held = a_step("held", after=[gate])

    assert run(tmp_path, [gate, held]).worked == ["gate", "held"]
    assert run(tmp_path, [gate, held]).outcomes == {"held": "hit"}


def test_what_the_machine_refuses_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(task: Task) -> dict[str, JSON]:
        return {"size": (task.workdir / "nothing").stat().st_size}

    teach(monkeypatch, missing=missing)

    ran = run(tmp_path, [a_step("m", kind="missing")])

    assert "nothing: No such file or directory" in ran.of("m").error
    assert isinstance(ran.of("m").cause, EnvironmentProblem)


def test_a_bug_is_not_hidden_and_leaves_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(_task: Task) -> dict[str, JSON]:
        raise ZeroDivisionError

    teach(monkeypatch, bug=bug)

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, [a_step("m", kind="bug")])
    assert left_in(Store(tmp_path, print), "staging") == []


# -- release -----------------------------------------------------------------------------

MERGED = a_step("merged", keep="intermediate")
FULL = a_step("full", MERGED, keep="f16")
SMALL = a_step("small", FULL, keep="final")
TINY = a_step("tiny", FULL, keep="final")
MEASURED = a_step("measured", SMALL, FULL)
ALL = [MERGED, FULL, SMALL, TINY, MEASURED]


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("all", ["merged", "full", "small", "tiny", "measured"]),
        ("f16", ["full", "small", "tiny", "measured"]),
        ("final", ["small", "tiny", "measured"]),
    ],
)
def test_intermediates_are_released_by_policy(tmp_path: Path, keep: str, left: list[str]) -> None:
    ran = run(tmp_path, ALL, SMALL, TINY, MEASURED, keep=keep)

    assert sorted(ran.worked) == sorted(one.label for one in ALL)
    assert stored(tmp_path, *ALL) == left
    assert run(tmp_path, ALL, SMALL, TINY, MEASURED, keep=keep).worked == []


def test_an_intermediate_goes_when_its_last_reader_is_done_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: dict[str, list[str]] = {}

    def look(task: Task) -> dict[str, JSON]:
        there[task.step.label] = stored(tmp_path, MERGED, FULL)
        return write_text(task)

    teach(monkeypatch, look=look)
    first = a_step("first", MERGED, FULL, kind="look")
    second = a_step("second", FULL, first, kind="look")
    third = a_step("third", second, kind="look")

    run(tmp_path, [MERGED, FULL, first, second, third], keep="final")

    assert there == {"first": ["merged", "full"], "second": ["full"], "third": []}


def test_a_target_is_never_released(tmp_path: Path) -> None:
    run(tmp_path, ALL, MERGED, FULL, TINY, keep="final")

    assert stored(tmp_path, *ALL) == ["merged", "full", "tiny"]


def test_what_another_run_made_meanwhile_is_not_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rival(_task: Task) -> dict[str, JSON]:
        run(tmp_path, [a_step("shared")])  # of the same key
        return {}

    teach(monkeypatch, rival=rival)
    before = a_step("before", kind="rival")
    shared = a_step("shared", after=[before], keep="f16")
    steps = [before, shared, a_step("small", shared)]

    assert run(tmp_path, steps, keep="final").outcomes["shared"] == "hit"
    assert "shared" in stored(tmp_path, *steps)


def test_what_failed_keeps_its_inputs_for_the_next_run(tmp_path: Path) -> None:
    bad = a_step("bad", FULL, kind="fail")

    run(tmp_path, [MERGED, FULL, bad], keep="final")

    assert stored(tmp_path, MERGED, FULL) == ["full"]


def test_what_there_was_no_time_for_keeps_its_inputs_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Mock(monotonic=Mock(return_value=0.0))
    monkeypatch.setattr(runner, "time", clock)

    def until_late(task: Task) -> dict[str, JSON]:
        clock.monotonic.return_value = 10.0
        return write_text(task)

    teach(monkeypatch, late=until_late)
    merged = a_step("merged", kind="late", keep="intermediate")
    reader = a_step("reader", merged)

    ran = run(tmp_path, [merged, reader], reader, keep="final", deadline=5.0)

    assert ran.outcomes == {"merged": "done", "reader": "skipped"}
    assert ran.of("reader").error == runner.LATE
    assert stored(tmp_path, merged) == ["merged"]


def test_what_was_interrupted_keeps_its_inputs_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(task: Task) -> dict[str, JSON]:
        run_process.stop_all()
        run_process.check_stopped()
        return {}

    teach(monkeypatch, interrupted=interrupted)
    stopped = a_step("stopped", MERGED, kind="interrupted")

    try:
        with pytest.raises(Interrupted):
            run(tmp_path, [MERGED, stopped], stopped, keep="final")
    finally:
        run_process.resume()

    assert stored(tmp_path, MERGED) == ["merged"]


# -- interruption ------------------------------------------------------------------------


def test_an_interruption_starts_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(task: Task) -> dict[str, JSON]:
        (task.workdir / "half").write_text("half")
        run_process.stop_all()
        run_process.check_stopped()
        return {}

    teach(monkeypatch, interrupted=interrupted)
    stopped = a_step("stopped", A, kind="interrupted", cpu=True)
    steps = [A, stopped, a_step("below", stopped), a_step("other", A, cpu=True)]
    notes = Notes()
    runner = Runner(Store(tmp_path, print), Settings(), notes)
    try:
        with pytest.raises(Interrupted):
            runner.run(steps, [step.key for step in steps])
    finally:
        run_process.resume()

    assert stored(tmp_path, stopped, steps[2]) == []
    assert "skipped below" in notes.heard
    assert left_in(Store(tmp_path, print), "staging") == []


# -- records -----------------------------------------------------------------------------


def test_the_manifest_has_calls_without_paths_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(task: Task) -> dict[str, JSON]:
        code = "open(sys.argv[1], 'w').write(open(sys.argv[2]).read())"
        target, source = str(task.workdir / "text"), str(task.inputs["a"] / "text")
        argv = [sys.executable, "-c", f"import sys; {code}", target, source, str(task.scratch)]
        call_verb.launch(task, argv, portable=[*argv[:-1], "{x}"], cwd=task.scratch)
        return {}

    teach(monkeypatch, call=call)
    step = a_step("called", A, kind="call")
    ran = run(tmp_path, [A, step])

    [made] = ran.of("called").facts["calls"]
    assert made["argv"][3:] == ["{work}/text", "{a}/text", "{scratch}"]
    assert made["portable"] == [*made["argv"][:-1], "{x}"]
    assert str(tmp_path) not in str(ran.of("called").facts)
    assert "/" not in made["argv"][0]
    assert made["peak_memory"] > 1 << 20
    assert ran.of("called").peak_memory == made["peak_memory"]
    assert str(tmp_path) in Store(tmp_path, print).log_path(step.key).read_text()


def test_threads_are_shared_between_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(task: Task) -> dict[str, JSON]:
        return {"threads": task.threads, "offline": task.offline}

    teach(monkeypatch, threads=threads)

    def told(name: str, **settings: int) -> JSON:
        return run(tmp_path, [a_step(name, kind="threads")], **settings).of(name).facts["threads"]

    assert told("one", jobs=1, threads=8) == 8
    assert told("three", jobs=3, threads=8) == 2
    assert told("many", jobs=9, threads=8) == 1


def in_other_processes(root: Path, steps: Sequence[Step]) -> Ran:
    """What a run gives whose jobs are carried out in two other processes, started afresh."""
    context = multiprocessing.get_context("spawn")
    notes = Notes()
    with context.Manager() as manager, ProcessPoolExecutor(2, context, _teach_text) as pool:
        inbox = manager.Queue()
        runner = Runner(
            Store(root, print), Settings(), notes, Carrier(lambda _step: pool, inbox, inbox.put)
        )
        return Ran(runner.run(steps, [step.key for step in steps]), notes)


def _teach_text() -> None:
    step_kinds.KINDS.update(text=own("text", write_text), fail=own("fail", fail))  # type: ignore[attr-defined]


def test_other_processes_carry_the_work_and_say_what_happens(tmp_path: Path) -> None:
    bad = a_step("bad", A, kind="fail")

    ran = in_other_processes(tmp_path, [A, B, bad])

    assert ran.outcomes == {"a": "done", "b": "done", "bad": "failed"}
    assert ran.of("bad").error == "bad went wrong\n  Mend it."
    assert ran.notes.heard[:2] == ["started a", "done a"]
    assert len(ran.notes.progress) == 2
    assert ran.of("b").path is not None
    assert stored(tmp_path, A, B, bad) == ["a", "b"]


def test_nothing_to_do_is_no_error(tmp_path: Path) -> None:
    steps: list[Step] = []
    runner = Runner(Store(tmp_path, print), Settings(), Notes())

    assert runner.run(steps, []) == []
