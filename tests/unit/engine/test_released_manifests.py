"""How artifacts were made is known when they are gone."""

from __future__ import annotations

from pathlib import Path

from orchestrator.engine import released_manifests
from tests.support.stores import open_store, put


def test_how_a_released_artifact_was_made_is_remembered(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    manifest = put(store, {"a": b"bytes"}).manifest
    assert released_manifests.recall(tmp_path, manifest["key"]) is None

    store.release(manifest["key"])

    assert store.find(manifest["key"]) is None
    found = released_manifests.recall(tmp_path, manifest["key"]) or {}
    assert [found[name] for name in ("params", "inputs", "files")] == [
        manifest[name] for name in ("params", "inputs", "files")
    ]


def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    key = put(store, {"a": b"bytes"}).key
    store.release(key)
    [record] = (tmp_path / released_manifests.FOLDER).glob("*/*")
    record.write_text("{")

    assert released_manifests.recall(tmp_path, key) is None


def test_an_artifact_is_removed_even_when_nothing_can_be_noted(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    key = put(store, {"a": b"bytes"}).key
    (tmp_path / released_manifests.FOLDER).write_text("a file in the way")

    assert store.release(key) > 0
    assert store.find(key) is None
