"""What a run remembers of the store, and when it asks again."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.step_values import JSON, Task
from orchestrator.engine import artifact
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.known_artifacts import KnownArtifacts
from orchestrator.engine.scheduler import Runner, Settings
from tests.support.asked_stores import count_finds
from tests.support.scheduler_runs import Notes, a_step, fail, run, teach, write_text

A = a_step("a")
B = a_step("b", A)


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    teach(monkeypatch, text=write_text, fail=fail)


def known_of(root: Path) -> KnownArtifacts:
    return KnownArtifacts(Store(root, print))


def test_a_key_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, [A])
    asked, known = count_finds(monkeypatch), known_of(tmp_path)

    found = [known.find(A.key), known.find(A.key, quick=True), known.find(A.key)]

    assert {one.key for one in found if one} == {A.key}
    assert [known.find(B.key), known.find(B.key, quick=True)] == [None, None]
    assert asked == {A.key: 1, B.key: 1}


def test_a_look_at_the_manifest_is_not_taken_for_a_look_at_the_files(tmp_path: Path) -> None:
    path = run(tmp_path, [A]).of("a").path
    known = known_of(tmp_path)
    assert known.find(A.key, quick=True) is not None
    assert path is not None
    (path / "text").chmod(0o644)
    (path / "text").write_text("longer than before")

    assert known.find(A.key) is None
    assert known.find(A.key, quick=True) is None


def test_what_is_released_is_asked_for_again(tmp_path: Path) -> None:
    run(tmp_path, [A])
    known = known_of(tmp_path)
    assert known.find(A.key) is not None

    assert known.release(A.key) > 0

    assert known.find(A.key) is None


@pytest.mark.parametrize("kind", ["text", "fail"])
def test_after_work_everything_is_asked_for_again(tmp_path: Path, kind: str) -> None:
    """It took time, in which another process may have removed anything."""
    run(tmp_path, [A])
    store = Store(tmp_path, print)
    known = KnownArtifacts(store)
    work = a_step("work", kind=kind)
    runner = Runner(store, Settings(), Notes(), known=known)
    runner.run([A, work], [A.key, work.key])
    store.release(A.key)

    assert known.find(A.key) is None


def test_a_run_trusts_no_older_answer_about_what_a_step_reads(tmp_path: Path) -> None:
    run(tmp_path, [A])
    store = Store(tmp_path, print)
    known = KnownArtifacts(store)
    assert known.find(A.key) is not None
    store.release(A.key)

    failed = Runner(store, Settings(), Notes(), known=known).run([A, B], [B.key])[-1]

    assert "was removed from the store or changed there" in failed.error


def test_what_was_made_of_an_input_that_changed_meanwhile_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaging(task: Task) -> dict[str, JSON]:
        path = task.inputs["a"] / "text"
        path.chmod(0o644)
        path.write_text(path.read_text().swapcase())
        return {}

    teach(monkeypatch, damaging=damaging)
    b = a_step("b", A, kind="damaging")

    failed = run(tmp_path, [A, b], b).results[-1]

    assert "was removed from the store or changed there" in failed.error
    assert Store(tmp_path, print).find(b.key) is None


def test_what_was_made_of_damage_is_made_again_with_what_was_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, [A, B], A, B)
    folder = run(tmp_path, [A]).of("a").path
    assert folder is not None
    path = folder / "text"
    path.chmod(0o644)
    path.write_text("x")
    monkeypatch.setattr(artifact, "last_change", lambda _files: 0)  # no time shows since when

    # The one that was made of it comes first: its answer must not be believed afterwards.
    assert run(tmp_path, [A, B], B, A).outcomes == {"a": "done", "b": "done"}


def test_targets_that_are_there_cost_one_question_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, [A, B], A, B)
    asked = count_finds(monkeypatch)

    assert run(tmp_path, [A, B], A, B).outcomes == {"a": "hit", "b": "hit"}
    assert asked == {A.key: 1, B.key: 1}


def test_an_answer_about_what_was_removed_since_is_dropped(tmp_path: Path) -> None:
    run(tmp_path, [A, B], A, B)
    store = Store(tmp_path, print)
    known = KnownArtifacts(store)
    assert known.find(A.key) is not None
    kept = known.find(B.key)
    Store(tmp_path, print).release(A.key)

    known.forget_removed()

    assert known.find(A.key) is None
    assert known.find(B.key) is kept
