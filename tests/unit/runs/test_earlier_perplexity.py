"""Which earlier run a perplexity is held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.artifact_store import Store
from orchestrator.history import Ended, FileRow, History
from orchestrator.measures.expectation import Earlier
from orchestrator.planning.plan import Plan
from orchestrator.runs import earlier_perplexity, record_history
from tests.support.history_records import a_file
from tests.support.plans import make_plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", print)


def full(plan: Plan, perplexity: float | None = 5.0, **changes: Any) -> FileRow:
    row = a_file("F16", file="F16, for comparison", perplexity=perplexity, perplexity_error=0.1)
    return replace(row, **{"step": "other", "measuring": record_history.measuring(plan), **changes})


def ran(store: Store, plan: Plan, *files: FileRow, state: str = "ok") -> str:
    history = History(store.root)
    run = record_history.begin(history, plan)
    history.end_run(run, Ended(state, files=files))
    return history.runs(plan.recipe.name)[0].started[:10]


def test_the_newest_run_of_another_file_counts(plan: Plan, store: Store) -> None:
    ran(store, plan, full(plan, 4.0))
    day = ran(store, plan, full(plan, 5.0))
    ran(store, plan, full(plan, 6.0, step=plan.full.step))

    assert earlier_perplexity.of(plan, store) == Earlier(5.0, 0.1, day)


@pytest.mark.parametrize(
    "changes",
    [{"measuring": "another text"}, {"perplexity": None}, {"file": "small-F16.gguf"}],
    ids=["measured otherwise", "not measured", "not the full file"],
)
def test_others_do_not(plan: Plan, store: Store, changes: dict[str, Any]) -> None:
    ran(store, plan, full(plan, **changes))

    assert earlier_perplexity.of(plan, store) is None


def test_failed_runs_and_other_recipes_do_not(plan: Plan, store: Store, tmp_path: Path) -> None:
    ran(store, plan, full(plan), state="failed")
    elsewhere = replace(plan, recipe=plan.recipe.model_copy(update={"file": tmp_path / "x.yaml"}))
    ran(store, elsewhere, full(plan))

    assert earlier_perplexity.of(plan, store) is None


def test_a_history_that_cannot_be_read_knows_nothing(plan: Plan, tmp_path: Path) -> None:
    warnings: list[str] = []
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "history.sqlite").write_bytes(b"no database" * 500)

    assert earlier_perplexity.of(plan, Store(tmp_path / "store", warnings.append)) is None
    assert not warnings  # who notes the run warns, once
