from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from orchestrator.base import machine_info
from orchestrator.base.errors import StepError, UsageError
from orchestrator.engine.artifact_store import Store
from tests.support.stores import KEY, OTHER, a_step, left_in, put

FILES = {"model.gguf": b"weights", "sub/config.json": b"{}"}


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> Store:
    return Store(tmp_path / "a store", warnings.append)


def test_what_is_committed_is_found(store: Store) -> None:
    made = put(store, FILES, facts={"size": 7, "list": [1, "a"]})
    found = store.find(KEY)
    assert found == made
    assert found is not None
    assert (found.path / "model.gguf").read_bytes() == b"weights"
    assert found.path == store.root / "artifacts" / "01" / KEY / "files"
    manifest = dict(found.manifest)
    assert manifest.pop("created").endswith("+00:00")
    assert manifest.pop("machine") == {
        "id": machine_info.identity(),
        "processor": machine_info.describe().processor,
        "cores": machine_info.cores(),
    }
    assert manifest == {
        "format": 1,
        "key": KEY,
        "kind": "kind",
        "label": "make 0123",
        "params": {"type": "Q4_0"},
        "inputs": {"model": OTHER},
        "facts": {"size": 7, "list": [1, "a"]},
        "seconds": 1.5,
        "peak_memory": 7,
        "size": 9,
        "files": {
            "model.gguf": {"size": 7, "sha256": hashlib.sha256(b"weights").hexdigest()},
            "sub/config.json": {"size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()},
        },
    }
    assert (found.kind, found.label, found.size) == ("kind", "make 0123", 9)
    assert found.facts == {"size": 7, "list": [1, "a"]}


def test_a_key_without_artifact_is_not_found(store: Store) -> None:
    assert store.find(KEY) is None
    assert store.find(KEY, quick=True) is None
    assert not store.root.exists()


def test_the_stage_is_gone_after_commit_and_after_doing_nothing(store: Store) -> None:
    put(store, FILES)
    with store.lock(OTHER), store.stage(OTHER) as stage:
        assert list(stage.workdir.iterdir()) == list(stage.scratch.iterdir()) == []
        assert stage.scratch.stat().st_dev == stage.final.parents[2].stat().st_dev
        (stage.scratch / "junk").write_text("x")
    assert left_in(store, "staging") == []
    assert store.find(OTHER) is None


def test_a_failed_step_leaves_its_log_only(store: Store) -> None:
    def fail() -> None:
        with store.lock(KEY), store.stage(KEY) as stage:
            (stage.workdir / "half").write_text("x")
            stage.log.write_text("what went wrong")
            raise StepError("no luck")

    with pytest.raises(StepError, match="no luck"):
        fail()
    assert left_in(store, "staging") == []
    assert store.find(KEY) is None
    assert store.log_path(KEY).read_text() == "what went wrong"


def test_each_attempt_starts_with_an_empty_log(store: Store) -> None:
    for _ in range(2):
        with store.lock(KEY), store.stage(KEY) as stage:
            assert stage.log.read_bytes() == b""
            stage.log.write_text("old")


def test_final_is_where_the_files_will_be(store: Store) -> None:
    with store.lock(KEY), store.stage(KEY) as stage:
        (stage.workdir / "f").write_text("x")
        assert store.commit(stage, a_step(), {}).path == stage.final
        assert (stage.final / "f").read_text() == "x"


def test_a_commit_replaces_what_was_there(store: Store) -> None:
    put(store, {"f": b"old", "g": b"old"})
    put(store, {"f": b"new"})
    found = store.find(KEY)
    assert found is not None
    assert [(path.name, path.read_bytes()) for path in found.path.iterdir()] == [("f", b"new")]
    assert left_in(store, "staging") == []


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_stored_files_are_read_only_but_runnable(store: Store) -> None:
    with store.lock(KEY), store.stage(KEY) as stage:
        (stage.workdir / "tool").write_text("x")
        (stage.workdir / "tool").chmod(0o755)
        (stage.workdir / "data").write_text("x")
        (stage.workdir / "data").chmod(0o664)
        made = store.commit(stage, a_step(), {})
    assert stat.S_IMODE((made.path / "tool").stat().st_mode) == 0o555
    assert stat.S_IMODE((made.path / "data").stat().st_mode) == 0o444
    assert store.release(KEY) > 0


def test_known_digests_are_taken_over(store: Store) -> None:
    made = put(store, {"f": b"x", "g": b"y"}, facts={"digests": {"f": "ab" * 32}, "n": 1})
    assert made.manifest["files"]["f"]["sha256"] == "ab" * 32
    assert made.manifest["files"]["g"]["sha256"] == hashlib.sha256(b"y").hexdigest()
    assert made.facts == {"n": 1}


@pytest.mark.parametrize("facts", [{"x": float("nan")}, {"x": {1, 2}}, {"x": Path("p")}])
def test_facts_that_are_not_json_fail_the_step(store: Store, facts: dict[str, object]) -> None:
    with pytest.raises(StepError, match="make 0123: its facts cannot be kept as JSON"):
        put(store, FILES, facts=facts)
    assert store.find(KEY) is None


def test_links_inside_an_artifact_are_kept(store: Store) -> None:
    with store.lock(KEY), store.stage(KEY) as stage:
        (stage.workdir / "lib").mkdir()
        (stage.workdir / "lib" / "libx.so.1").write_text("code")
        (stage.workdir / "lib" / "libx.so").symlink_to("libx.so.1")
        made = store.commit(stage, a_step(), {})
    assert made.manifest["files"]["lib/libx.so"] == {"link": "libx.so.1"}
    assert store.find(KEY) == made


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../outside", "sub/../../x"])
def test_links_out_of_an_artifact_are_refused(store: Store, target: str) -> None:
    with store.lock(KEY), store.stage(KEY) as stage:
        (stage.workdir / "evil").symlink_to(target)
        with pytest.raises(StepError, match="evil leads out"):
            store.commit(stage, a_step(), {})
    assert store.find(KEY) is None


def reference(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return {"path": str(path), "size": len(data), "sha256": sha256}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "cache" / "blob"
    path.parent.mkdir()
    path.write_bytes(b"big weights")
    return path


def test_referred_files_are_linked_and_stay_as_they_are(store: Store, outside: Path) -> None:
    mode = outside.stat().st_mode
    facts = {"references": {"deep/model.bin": reference(outside)}}
    made = put(store, {"own": b"x"}, facts=facts)
    assert (made.path / "deep" / "model.bin").read_bytes() == b"big weights"
    assert (made.path / "deep" / "model.bin").is_symlink()
    assert made.manifest["files"]["deep/model.bin"]["reference"] == str(outside)
    assert made.facts == {}
    assert made.size == 1
    assert store.find(KEY) == made
    assert [wrong for _, wrong in store.verify()] == [[]]
    assert store.release(KEY) > 0
    assert (outside.read_bytes(), outside.stat().st_mode) == (b"big weights", mode)


@pytest.mark.parametrize("change", ["gone", "size"])
def test_a_changed_referred_file_is_noticed(
    store: Store, outside: Path, warnings: list[str], change: str
) -> None:
    put(store, {}, facts={"references": {"model.bin": reference(outside)}})
    if change == "gone":
        outside.unlink()
    else:
        outside.write_bytes(b"short")
    assert store.find(KEY) is None
    assert str(outside) in warnings[0]


def test_a_flipped_byte_in_a_referred_file_is_found(store: Store, outside: Path) -> None:
    put(store, {}, facts={"references": {"model.bin": reference(outside)}})
    assert [wrong for _, wrong in store.verify(KEY)] == [[]]
    outside.write_bytes(b"bIg weights")
    assert store.find(KEY) is None


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "", ".", "own", "nul\0"])
def test_names_of_references_stay_inside(store: Store, outside: Path, name: str) -> None:
    with pytest.raises(StepError):
        put(store, {"own": b"x"}, facts={"references": {name: reference(outside)}})
    assert store.find(KEY) is None
    assert not list(store.root.rglob("evil"))


def test_references_must_be_what_they_say(store: Store, outside: Path) -> None:
    for wrong in ({"size": 3}, {"path": "relative"}, {"path": str(outside.parent), "size": -1}):
        with pytest.raises(StepError, match="not a file of"):
            put(store, {}, facts={"references": {"model.bin": {**reference(outside), **wrong}}})


def put_tree(store: Store) -> Path:
    with store.lock(KEY), store.stage(KEY) as stage:
        (stage.workdir / "bin").mkdir()
        (stage.workdir / "bin" / "python").symlink_to("/usr/bin/env")
        (stage.workdir / "lib.py").write_text("code")
        (stage.workdir / "lib.pyc").write_text("compiled")
        return store.commit(stage, a_step(), {}, hash_files=False).path


def test_a_tree_of_many_files_has_sizes_in_a_listing(store: Store) -> None:
    folder = put_tree(store)
    found = store.find(KEY)
    assert found is not None
    assert found.manifest["files"] == {}
    assert found.manifest["tree"]["files"] == 2
    assert found.size == 4
    listing = json.loads((folder.parent / "files.json").read_bytes())
    assert listing == {"bin/python": {"link": "/usr/bin/env"}, "lib.py": {"size": 4}}
    assert os.access(folder / "lib.py", os.W_OK)
    (folder / "lib.pyc").unlink()
    (folder / "more.pyc").write_text("x")
    assert [wrong for _, wrong in store.verify()] == [[]]


@pytest.mark.parametrize("change", ["size", "gone", "link", "listing", "listing byte"])
def test_damage_in_a_tree_of_many_files_is_found(
    store: Store, warnings: list[str], change: str
) -> None:
    folder = put_tree(store)
    listing = folder.parent / "files.json"
    if change == "size":
        (folder / "lib.py").write_text("longer code")
    elif change == "gone":
        (folder / "lib.py").unlink()
    elif change == "link":
        (folder / "bin" / "python").unlink()
        (folder / "bin" / "python").symlink_to("/usr/bin/true")
    elif change == "listing":
        listing.write_bytes(listing.read_bytes()[:-9])
    else:
        listing.write_bytes(listing.read_bytes().replace(b"lib", b"lab"))
    ((_, wrong),) = store.verify()
    assert len(wrong) == 1
    assert store.find(KEY) is None
    assert len(warnings) == 1


ODD_KEYS = ["", "..", "../" * 22, "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_never_become_paths(store: Store, key: str) -> None:
    for use in (store.find, store.release, store.log_path, lambda key: list(store.verify(key))):
        with pytest.raises(UsageError, match="not a key"):
            use(key)
    for context in (store.lock(key), store.stage(key), store.hold([key])):
        with pytest.raises(UsageError, match="not a key"), context:
            pytest.fail("entered")
    assert not store.root.exists()
