"""Saved logits stay up to a size, the most recently used ones; other intermediates go at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.base.step_values import JSON, Task
from orchestrator.engine import retention_policy
from orchestrator.engine.artifact_store import Store
from tests.support.scheduler_runs import a_step, run, stored, teach

OLD, NEW, NEWEST = (
    a_step(name, kind="logits", keep="intermediate") for name in ("old", "new", "newest")
)
BARE = a_step("bare", kind="logits")
ALL = (OLD, NEW, NEWEST)


def saved(task: Task) -> dict[str, JSON]:
    (task.workdir / "logits.bin").write_bytes(bytes(100))
    return {"bytes": 100} if task.step.label != "bare" else {}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with logits of three models, used one after the other, and a perplexity alone."""
    teach(monkeypatch, logits=saved)
    run(tmp_path, [*ALL, BARE], *ALL, BARE)
    store = Store(tmp_path, print)
    for at, step in enumerate((BARE, *ALL)):
        used = next(one for one in store.artifacts() if one.key == step.key).path.parent / "used"
        os.utime(used, (at, at))
    return store


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        (1000, ["old", "new", "newest", "bare"]),
        (250, ["new", "newest", "bare"]),
        (99, ["bare"]),
        (0, ["bare"]),
    ],
)
def test_the_least_recently_used_logits_go_beyond_the_limit(
    store: Store, limit: int, left: list[str]
) -> None:
    retention_policy.release(store, [NEWEST], "f16", limit)

    assert stored(store.root, *ALL, BARE) == left


def test_logits_that_somebody_waits_for_stay(store: Store) -> None:
    retention_policy.release(store, [NEWEST], "f16", 150, awaited={OLD.key})

    assert stored(store.root, *ALL) == ["old", "newest"]


def test_no_logits_stay_where_only_final_files_are_kept(store: Store) -> None:
    retention_policy.release(store, ALL, "final", 1000)

    assert stored(store.root, *ALL) == []


def test_all_logits_stay_where_all_is_kept(store: Store) -> None:
    retention_policy.release(store, ALL, "all", 0)

    assert stored(store.root, *ALL) == ["old", "new", "newest"]


def test_one_more_reader_does_not_make_kept_logits_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(monkeypatch, logits=saved, read=lambda _task: {})
    first, second = a_step("first", OLD, kind="read"), a_step("second", OLD, kind="read")

    run(tmp_path, [OLD, first], first, keep_logits=100)
    again = run(tmp_path, [OLD, first, second], first, second, keep_logits=100)
    assert again.worked == ["second"]

    third = a_step("third", OLD, kind="read")
    run(tmp_path, [OLD, second], second, keep_logits=0)
    assert run(tmp_path, [OLD, third], third, keep_logits=0).worked == ["third"]
    assert stored(tmp_path, OLD) == ["old"]  # it was there before: another run's
