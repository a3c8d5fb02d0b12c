from __future__ import annotations

import hashlib
import os
import pickle
import time
from pathlib import Path

import pytest

from orchestrator.base.errors import OrchestrateError
from orchestrator.engine import artifact, digest_cache
from orchestrator.engine.artifact_store import Store
from tests.support.stores import KEY, OTHER, left_in, open_store, put

FILES = {"model.gguf": b"weights"}


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> Store:
    return Store(tmp_path / "a store", warnings.append)


def test_release_gives_bytes_back_unless_linked_elsewhere(store: Store, tmp_path: Path) -> None:
    made = put(store, {"big": b"x" * 10_000, "dist": b"y" * 50_000})
    os.link(made.path / "dist", tmp_path / "dist")
    assert 10_000 <= store.release(KEY) < 50_000
    assert store.find(KEY) is None
    assert store.release(KEY) == 0
    assert (tmp_path / "dist").read_bytes() == b"y" * 50_000
    assert left_in(store, "staging") == []


def test_an_interrupt_while_an_artifact_goes_leaves_nothing_of_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, {"big": b"x"})
    remove, calls = artifact.remove_tree, []

    def interrupted_once(folder: Path) -> None:
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(folder)

    monkeypatch.setattr(artifact, "remove_tree", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        store.release(KEY)
    assert left_in(store, "staging") == []


def keys(count: int) -> list[str]:
    return [f"{index:064x}" for index in range(count)]


def put_many(store: Store, count: int) -> list[str]:
    """Artifacts of 1000 bytes; each one was used an hour after the one before it."""
    now = time.time()
    for index, key in enumerate(keys(count)):
        made = put(store, {"f": b"x" * 1000}, key)
        used = now - (count - index) * 3600
        os.utime(made.path.parent / "used", (used, used))
    return keys(count)


def test_artifacts_lists_what_can_be_read(store: Store) -> None:
    made = put_many(store, 3)
    (store.root / "artifacts" / "00" / made[1] / "manifest.json").write_text("{")
    (store.root / "artifacts" / "00" / "rubbish").mkdir()
    assert [each.key for each in store.artifacts()] == [made[0], made[2]]


def test_gc_removes_the_least_recently_used_first(store: Store) -> None:
    made = put_many(store, 5)
    assert store.find(made[0]) is not None  # which makes it the last used
    removed = store.gc(max_bytes=2500)
    assert [each.key for each in removed] == made[1:4]
    assert [each.key for each in store.artifacts()] == [made[0], made[4]]


def test_gc_spares_what_is_protected_locked_or_in_use(store: Store) -> None:
    made = put_many(store, 5)
    with store.lock(made[1]), store.hold([made[2], made[3]]):
        removed = store.gc(max_bytes=0, protect={made[0]})
    assert [each.key for each in removed] == [made[4]]
    assert len(store.gc(max_bytes=0)) == 4


def test_gc_by_age(store: Store) -> None:
    made = put_many(store, 4)
    assert [each.key for each in store.gc(older_than=2.5 * 3600)] == made[:2]
    assert store.gc(older_than=2.5 * 3600) == []


def test_gc_without_limits_removes_rubbish_only(store: Store) -> None:
    put_many(store, 2)
    rubbish = store.root / "staging" / f"{KEY}-dead"
    (rubbish / "artifact" / "files").mkdir(parents=True)
    damaged = store.root / "quarantine" / f"{OTHER}-damaged"
    damaged.mkdir(parents=True)
    with store.lock(OTHER), store.stage(OTHER) as stage:
        assert store.gc() == []
        assert stage.workdir.is_dir()
    assert not rubbish.exists()
    assert not damaged.exists()
    assert len(list(store.artifacts())) == 2


def test_a_held_artifact_is_not_released(store: Store) -> None:
    put(store, FILES)
    with store.hold([KEY]), store.hold([KEY, OTHER]):
        assert store.release(KEY) == 0
        assert store.find(KEY) is not None
    assert store.release(KEY) > 0


def test_file_digests_are_remembered_until_the_file_changes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    old = time.time_ns() - 10**10
    os.utime(path, ns=(old, old))
    assert store.file_digest(path) == hashlib.sha256(b"one").hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(digest_cache, "file_sha256", pytest.fail)
        again = Store(store.root, pytest.fail)
        assert again.file_digest(path) == hashlib.sha256(b"one").hexdigest()
    # Same size, same modification time, same inode: the change time tells.
    path.write_bytes(b"two")
    os.utime(path, ns=(old, old))
    assert store.file_digest(path) == hashlib.sha256(b"two").hexdigest()


def test_a_file_changed_just_now_is_not_remembered(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    now = path.stat().st_mtime_ns
    store.file_digest(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(now, now))
    assert store.file_digest(path) == hashlib.sha256(b"two").hexdigest()


def test_a_broken_memory_of_digests_only_warns(
    store: Store, tmp_path: Path, warnings: list[str]
) -> None:
    store.root.mkdir()
    (store.root / "digests.sqlite").write_bytes(b"rubbish" * 1000)
    (tmp_path / "f").write_bytes(b"x")
    assert store.file_digest(tmp_path / "f") == hashlib.sha256(b"x").hexdigest()
    assert "digests cannot be cached" in warnings[0]


def test_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "home"))
    assert Store.default_root() == tmp_path / "home"
    monkeypatch.setenv("ORCHESTRATE_HOME", "~/x")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Store.default_root() == tmp_path / "x"
    monkeypatch.delenv("ORCHESTRATE_HOME")
    assert Store.default_root().name == "orchestrate"


def test_a_store_travels_to_another_process(tmp_path: Path) -> None:
    store = Store(tmp_path, print)
    made = put(store, FILES)
    assert pickle.loads(pickle.dumps(store)).find(KEY) == made


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_store_that_may_not_be_written(tmp_path: Path) -> None:
    put(open_store(tmp_path / "s"), FILES)
    for folder in [tmp_path / "s", *(tmp_path / "s").rglob("*")]:
        folder.chmod(folder.stat().st_mode & ~0o222)
    store = open_store(tmp_path / "s")
    assert store.find(KEY) is not None
    with pytest.raises(OrchestrateError, match="cannot be written"), store.lock(OTHER):
        pytest.fail("entered")
