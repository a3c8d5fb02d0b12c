from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.base.disk_space import DiskFull
from orchestrator.base.process import run_process
from orchestrator.engine import artifact, digest_cache
from orchestrator.engine.artifact_store import Store
from tests.support.stores import KEY, OTHER, a_step, left_in, put

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> Store:
    return Store(tmp_path / "store", warnings.append)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("no small file system can be mounted here")
    yield folder
    gc.collect()  # a store has its database open
    subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk(small_disk: Path, warnings: list[str]) -> None:
    store = Store(small_disk / "store", warnings.append)
    put(store, {"small": b"x" * 1000}, OTHER)
    with pytest.raises(DiskFull, match=r"is full at .* free"):
        put(store, {"big": b"x" * (2 << 20)})
    assert left_in(store, "staging") == []
    assert store.find(KEY) is None
    assert store.find(OTHER) is not None
    put(store, {"half": b"x" * (1 << 19)})  # the room was given back


def test_a_tool_that_fills_a_small_disk(small_disk: Path, warnings: list[str]) -> None:
    store = Store(small_disk / "store", warnings.append)

    def fill() -> None:
        with store.lock(KEY), store.stage(KEY, needed_bytes=2 << 20) as stage:
            argv = ["dd", "if=/dev/zero", "of=big", "bs=4096", "count=512"]
            run_process.run(argv, cwd=stage.workdir, log=stage.log, needed_bytes=2 << 20)

    with pytest.raises(DiskFull, match=r"\(2\.10 MB needed, "):
        fill()
    assert left_in(store, "staging") == []


def rewritten(path: Path, data: bytes | None) -> None:
    path.unlink()
    if data is not None:
        path.write_bytes(data)


@pytest.mark.parametrize("damage", ["gone", "short", "long", "link", "folder", "all gone"])
def test_damage_is_noticed_when_found(store: Store, warnings: list[str], damage: str) -> None:
    path = put(store, {"f": b"content", "g": b"x"}).path / "f"
    if damage == "all gone":
        shutil.rmtree(path.parent)
    else:
        changed = {"short": b"conten", "long": b"content!"}
        rewritten(path, changed.get(damage))
    if damage == "link":
        (path.parent / "seven").write_bytes(b"content")
        path.symlink_to("seven")
    if damage == "folder":
        path.mkdir()
    assert store.find(KEY, quick=True) is not None
    assert store.find(KEY) is None
    assert len(warnings) == 1
    assert "make 0123 is damaged" in warnings[0]
    assert left_in(store, "quarantine")[0] in warnings[0]
    assert store.find(KEY) is None
    assert len(warnings) == 1
    put(store, {"f": b"content"})
    assert store.find(KEY) is not None


def in_place(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def set_back(path: Path, data: bytes) -> None:
    before = path.stat()
    in_place(path, data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def through_a_link(path: Path, data: bytes) -> None:
    outside = path.parents[4] / "linked"
    outside.hardlink_to(path)
    in_place(outside, data)


@pytest.mark.parametrize("change", [in_place, set_back, through_a_link, rewritten])
def test_a_flipped_byte_is_found_before_a_file_is_used(
    store: Store, warnings: list[str], change: Callable[[Path, bytes], None]
) -> None:
    path = put(store, {"f": b"content"}).path / "f"
    change(path, b"cOntent")
    assert store.find(KEY) is None
    assert "make 0123 is damaged (f has other content)" in warnings[0]
    assert len(left_in(store, "quarantine")) == 1


def test_a_file_is_read_again_only_when_it_may_have_changed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(store, {"f": b"content"}).path / "f"
    read: list[Path] = []

    def counted(path: str, between: Callable[[], None]) -> str:
        read.append(Path(path))
        return file_sha256(path, between)

    monkeypatch.setattr(digest_cache, "file_sha256", counted)
    assert store.find(KEY) is not None
    assert read == []
    path.chmod(0o644)
    long_ago = time.time_ns() - 10**10
    os.utime(path, ns=(long_ago, long_ago))
    assert store.find(KEY) is not None
    assert store.find(KEY) is not None
    assert read == [path]


def test_damage_that_no_time_shows_is_found_by_verify_and_ends_what_was_made_of_it(
    store: Store, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put(store, {"f": b"content"}, OTHER)
    put(store, {"g": b"measured on f"})  # its input is OTHER
    stamp = digest_cache._stamp(made.path / "f")
    set_back(made.path / "f", b"cOntent")
    monkeypatch.setattr(digest_cache, "_stamp", lambda _path: stamp)
    assert store.find(OTHER) is not None
    assert [wrong for each, wrong in store.verify() if wrong] == [["f has other content"]]
    assert "make ffff is damaged" in warnings[0]
    assert "make 0123 was made from it and will be made again too" in warnings[1]
    assert store.find(OTHER) is None
    assert store.find(KEY) is None


def test_what_was_made_before_the_damage_stays(
    store: Store, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put(store, {"f": b"content"}, OTHER)
    put(store, {"g": b"measured on f"})
    in_place(made.path / "f", b"cOntent")
    monkeypatch.setattr(artifact, "made", lambda _found: time.time() - 60)
    assert store.find(OTHER) is None
    assert store.find(KEY) is not None
    assert len(warnings) == 1


def test_verify_of_one_key_and_of_none(store: Store) -> None:
    put(store, {"f": b"content"})
    put(store, {"f": b"content"}, OTHER)
    assert [each.key for each, _ in store.verify(OTHER)] == [OTHER]
    assert list(store.verify("e" * 64)) == []


def test_no_flipped_bit_of_a_manifest_is_believed(store: Store) -> None:
    made = put(store, {"f": b"content"}, facts={"x": 1.5})
    path = made.path.parent / "manifest.json"
    data = path.read_bytes()
    for position in range(0, len(data), 3):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        with contextlib.suppress(artifact.Damaged):
            assert artifact.load(KEY, path.parent) == made


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe", b'{"key": "x"}'])
def test_a_manifest_that_cannot_be_read(
    store: Store, warnings: list[str], content: bytes | None
) -> None:
    made = put(store, {"f": b"content"})
    rewritten(made.path.parent / "manifest.json", content)
    ((_, wrong),) = store.verify()
    assert "manifest" in wrong[0]
    assert store.find(KEY, quick=True) is None
    assert len(warnings) == len(left_in(store, "quarantine")) == 1


def test_a_manifest_of_another_key_is_not_believed(store: Store) -> None:
    made, other = put(store, {"f": b"x"}), put(store, {"f": b"x"}, OTHER)
    name = "manifest.json"
    (made.path.parent / name).write_bytes((other.path.parent / name).read_bytes())
    assert store.find(KEY) is None


def test_damage_under_a_lock_is_told_and_replaced(store: Store, warnings: list[str]) -> None:
    made = put(store, {"f": b"content"})
    rewritten(made.path / "f", None)
    with store.lock(KEY):
        assert store.find(KEY) is None
        assert warnings[0].endswith("it will be made again")
        with store.stage(KEY) as stage:
            (stage.workdir / "f").write_bytes(b"content")
            store.commit(stage, a_step(), {})
    assert store.find(KEY) is not None


def test_what_was_repaired_meanwhile_is_not_moved_aside(
    store: Store, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put(store, {"f": b"content"})
    rewritten(made.path / "f", None)
    real = artifact.problems

    def slow(looked_at: artifact.Artifact) -> list[str]:
        found = list(real(looked_at))
        put(store, {"f": b"content"})  # as another process may do just now
        return found

    monkeypatch.setattr(artifact, "problems", slow)
    assert store.find(KEY) is None
    monkeypatch.undo()
    assert store.find(KEY) is not None
    assert warnings == []
