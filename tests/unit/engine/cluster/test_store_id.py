"""A store's id stays, goes where the store goes, and is no other store's."""

from __future__ import annotations

from pathlib import Path

from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster.store_id import store_id


def test_the_id_stays_with_the_store(tmp_path: Path) -> None:
    first = store_id(Store(tmp_path / "a", print))
    (tmp_path / "a").rename(tmp_path / "elsewhere")

    assert store_id(Store(tmp_path / "elsewhere", print)) == first
    assert store_id(Store(tmp_path / "b", print)) != first
