"""A job on a machine with a store of its own: what it brings, makes along and sends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.step_values import Outcome, Step, Task
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster.sharing_job import carry_out_sharing
from orchestrator.engine.cluster.store_id import store_id
from orchestrator.engine.shared_cache.places import Place, Remote
from orchestrator.engine.shared_cache.remote_folder import PlaceProblem
from orchestrator.engine.shared_cache.shared_cache import SharedCache
from orchestrator.engine.step_kinds import Role
from orchestrator.engine.step_worker import Event, Job, Settings
from tests.support.scheduler_runs import Own, a_step, fail, stored, teach, write_text


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    teach(monkeypatch, text=write_text, fail=fail)
    monkeypatch.setitem(step_kinds.KINDS, "tool", Own("", Role.TOOL, work=write_text))


def cache(folder: Path, *, private: bool = True) -> Remote:
    return Remote((Place(f"file://{folder}/cache", private=private),))


def job(folder: Path, name: str, step: Step, *along: Step) -> Job:
    settings = Settings(remote=cache(folder), deadline=0)  # by another machine's clock
    return Job(step, settings, Store(folder / name, print), 3, along)


def test_a_second_machine_brings_what_the_first_made_and_makes_what_is_kept_back(
    tmp_path: Path,
) -> None:
    tool = a_step("tool", kind="tool")
    a = a_step("a", tool)
    b = a_step("b", a, tool)
    said: list[Event] = []

    carry_out_sharing(job(tmp_path, "one", a, tool), said.append)
    made = carry_out_sharing(job(tmp_path, "two", b, a, tool), said.append)

    two = Store(tmp_path / "two", print)
    assert (made.outcome, made.store) == (Outcome.DONE, store_id(two))
    manifests = [Store(tmp_path / name, print).find(a.key) for name in ("one", "two")]
    assert manifests[0] is not None
    assert manifests[1] is not None
    assert manifests[0].manifest == manifests[1].manifest
    shared = SharedCache(cache(tmp_path), print)
    assert shared.holds([tool.key, a.key, b.key]) == {a.key, b.key}
    assert shared.recall([tool.key])[tool.key]["label"] == "tool"
    assert {event.key for event in said} == {a.key, b.key}
    notes = [event.progress.note for event in said if event.progress is not None]
    assert notes.count("tool") == 2


def test_what_is_done_is_done(tmp_path: Path) -> None:
    a = a_step("a")
    carry_out_sharing(job(tmp_path, "one", a), print)

    assert carry_out_sharing(job(tmp_path, "one", a), print).outcome is Outcome.HIT
    assert carry_out_sharing(job(tmp_path, "two", a), print).outcome is Outcome.HIT


def test_what_was_made_before_there_was_a_cache_is_sent(tmp_path: Path) -> None:
    a = a_step("a")
    carry_out_sharing(job(tmp_path, "one", a), print)
    (tmp_path / "cache").rename(tmp_path / "old")

    carry_out_sharing(job(tmp_path, "one", a), print)

    assert SharedCache(cache(tmp_path), print).holds([a.key]) == {a.key}


def test_a_changed_file_in_the_cache_is_not_taken(tmp_path: Path) -> None:
    a = a_step("a")
    b = a_step("b", a)
    carry_out_sharing(job(tmp_path, "one", a), print)
    [blob] = (tmp_path / "cache" / "v1" / "blobs").glob("*/*")
    blob.chmod(0o644)
    blob.write_bytes(b"z")

    made = carry_out_sharing(job(tmp_path, "two", b, a), print)

    assert made.path is not None
    assert (made.path / "text").read_text() == "ab"


def test_a_failure_of_what_is_made_along_names_it_and_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_with_log(task: Task) -> dict[str, object]:
        task.log.write_text("no compiler\n")
        return fail(task)

    monkeypatch.setitem(step_kinds.KINDS, "tool", Own("", Role.TOOL, work=fail_with_log))
    tool = a_step("tool", kind="tool")

    with pytest.raises(StepError, match=r"tool went wrong(.|\n)*    no compiler"):
        carry_out_sharing(job(tmp_path, "one", a_step("a", tool), tool), print)


def test_without_the_cache_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    a = a_step("a")

    with pytest.raises(PlaceProblem, match="the shared cache file://"):
        carry_out_sharing(job(tmp_path, "one", a), print)
    assert stored(tmp_path / "one", a) == []


def test_what_this_machine_may_not_send_is_said(tmp_path: Path) -> None:
    a = job(tmp_path, "one", a_step("a"))
    open_to_all = replace(a.settings, remote=cache(tmp_path, private=False))

    with pytest.raises(EnvironmentProblem, match=r"a was made, but not sent: .*is not stated"):
        carry_out_sharing(replace(a, settings=open_to_all), print)
