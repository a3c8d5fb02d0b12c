"""The id of a store or a cache stays, goes where it goes, and is no other's."""

from __future__ import annotations

from pathlib import Path

from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster.store_id import caches, store_id
from orchestrator.engine.shared_cache.places import Place, Remote


def test_the_id_stays_with_the_store(tmp_path: Path) -> None:
    first = store_id(Store(tmp_path / "a", print))
    (tmp_path / "a").rename(tmp_path / "elsewhere")

    assert store_id(Store(tmp_path / "elsewhere", print)) == first
    assert store_id(Store(tmp_path / "b", print)) != first


def test_a_cache_has_one_id_for_all_who_may_write_to_it(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "none").write_bytes(b"")
    first, also, none = (Place(f"file://{tmp_path}/{name}") for name in ("a", "./a", "none"))
    other, read = Place(f"file://{tmp_path}/b"), Place(f"file://{tmp_path}/c", read_only=True)

    found = caches(Remote((first, none, other, read)), said.append)

    assert list(found.values()) == [first, other]
    assert list(caches(Remote((also,)), print)) == list(found)[:1]
    assert not (tmp_path / "c").exists()
    assert len(said) == 1
    assert said[0].startswith(f"the shared cache file://{tmp_path}/none: ")
