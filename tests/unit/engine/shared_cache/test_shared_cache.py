"""What comes from a shared cache is what was sent, or nothing comes; each promise on every kind."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.base.step_values import Step
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.shared_cache.places import Place, Remote
from orchestrator.engine.shared_cache.shared_cache import SharedCache
from tests.support import cache_servers
from tests.support.shared_caches import (
    FILES,
    FREE,
    MANIFEST,
    Machine,
    blob_of,
    change,
    flip,
    folder,
    free_step,
    learn_kind,
)
from tests.support.signing_keys import keys
from tests.support.stores import KEY, OTHER, left_in, put


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_kind(monkeypatch)


def files_of(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_what_one_machine_sends_another_brings(tmp_path: Path, url: str) -> None:
    here, there = Machine(tmp_path / "here", url), Machine(tmp_path / "there", url)
    assert here.push() == [len(data) for data in FILES.values()]

    assert there.cache.holds([KEY, OTHER]) == {KEY}
    found = there.bring()

    assert found is not None
    assert files_of(found.path) == dict(FILES)
    assert not (found.path / "model.gguf").stat().st_mode & stat.S_IWUSR
    own = here.store.find(KEY)
    assert own is not None
    assert (found.path.parent / "manifest.json").read_bytes() == (
        own.path.parent / "manifest.json"
    ).read_bytes()
    assert there.store.find(KEY) == found
    assert not left_in(there.store, "staging")
    assert not [*here.warned, *there.warned]


def test_what_is_there_is_not_sent_again(tmp_path: Path, url: str) -> None:
    Machine(tmp_path / "here", url).push()

    assert Machine(tmp_path / "there", url).push() == []
    assert Machine(tmp_path / "third", url).push({"other": FILES["model.gguf"]}, OTHER) == []


def test_the_first_manifest_wins(tmp_path: Path, url: str) -> None:
    Machine(tmp_path / "here", url).push()
    Machine(tmp_path / "there", url).push({"model.gguf": b"other"})

    found = Machine(tmp_path / "third", url).bring()
    assert found is not None
    assert files_of(found.path) == dict(FILES)


def test_two_writers_at_once_leave_one_whole_artifact(tmp_path: Path, url: str) -> None:
    machines = [Machine(tmp_path / name, url) for name in "abcd"]
    contents = [name.encode() * 100 for name in "abcd"]
    made = [one.make({"file": data}) for one, data in zip(machines, contents, strict=True)]
    start = threading.Barrier(4)

    def push(number: int) -> None:
        start.wait()
        machines[number].cache.push(free_step(), made[number])

    threads = [threading.Thread(target=push, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = Machine(tmp_path / "reader", url).bring()
    assert found is not None
    assert (found.path / "file").read_bytes() in contents
    assert not [said for machine in machines for said in machine.warned]


def test_a_changed_blob_is_set_aside_and_made_again(tmp_path: Path, url: str) -> None:
    Machine(tmp_path / "here", url).push()
    change(url, blob_of(FILES["model.gguf"]), flip)
    there = Machine(tmp_path / "there", url)

    assert there.bring() is None

    assert [said.partition(": ")[2] for said in there.warned] == [
        f"the file {blob_of(FILES['model.gguf'])[-64:][:12]} has other content"
    ]
    assert there.store.find(KEY) is None
    assert not left_in(there.store, "staging")
    assert len(folder(url).files("v1/damaged")) == 2
    assert there.push() == [len(FILES["model.gguf"])]
    assert Machine(tmp_path / "third", url).bring() is not None


@pytest.mark.parametrize("how", [flip, lambda data: data[:-9], lambda _: b"\xff", lambda _: b"[]"])
def test_a_changed_manifest_is_no_hit(tmp_path: Path, url: str, how: object) -> None:
    Machine(tmp_path / "here", url).push()
    change(url, MANIFEST, how)  # type: ignore[arg-type]
    there = Machine(tmp_path / "there", url)

    assert there.cache.holds([KEY]) == set()
    assert len(there.warned) == 1
    assert there.push() == []  # the manifest is made again, the files are there
    assert Machine(tmp_path / "third", url).bring() is not None


def test_what_is_wrong_in_one_cache_comes_from_the_next(tmp_path: Path, url: str) -> None:
    second = f"file://{tmp_path}/second"
    Machine(tmp_path / "here", url, second).push()
    change(url, blob_of(FILES["model.gguf"]), flip)
    there = Machine(tmp_path / "there", url, second)

    found = there.bring()

    assert found is not None
    assert files_of(found.path) == dict(FILES)
    assert len(there.warned) == 1


def test_a_blob_that_is_missing_or_longer_is_no_artifact(tmp_path: Path, url: str) -> None:
    Machine(tmp_path / "here", url).push()
    change(url, blob_of(FILES["model.gguf"]), lambda data: data * 2)
    assert Machine(tmp_path / "there", url).bring() is None

    Machine(tmp_path / "here", url).cache.push(
        free_step(), put(Store(tmp_path / "new", print), FILES)
    )
    folder(url).remove([blob_of(FILES["model.gguf"])])
    third = Machine(tmp_path / "third", url)
    assert third.bring() is None
    assert len(third.warned) == 1


# -- what else goes wrong ---------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> str:
    return f"file://{tmp_path}/cache"


def resigned(told: dict[str, object]) -> bytes:
    """A manifest that agrees with itself again."""
    from orchestrator.base import digest

    told.pop("digest", None)
    return json.dumps({**told, "digest": digest.key(told)}).encode()


HOSTILE: dict[str, dict[str, object]] = {
    "out": {"files": {"../../../../out": {"size": 2, "sha256": blob_of(b"{}")[-64:]}}},
    "absolute": {"files": {"/tmp/out": {"size": 2, "sha256": blob_of(b"{}")[-64:]}}},
    "through a link": {
        "files": {
            "d": {"link": "/tmp"},
            "d/out": {"size": 2, "sha256": blob_of(b"{}")[-64:]},
        }
    },
    "a link out": {"files": {"d": {"link": "../../../.."}}},
    "a link through a link": {"files": {"d": {"link": ".."}, "d/e": {"link": "x"}}},
    "another place": {"files": {"x": {"size": 2, "sha256": "../../../../etc/passwd"}}},
    "a reference": {
        "files": {"x": {"size": 2, "sha256": blob_of(b"{}")[-64:], "reference": "/etc/passwd"}}
    },
    "no sizes": {"files": {"x": {"sha256": blob_of(b"{}")[-64:]}}},
    "a negative size": {"files": {"x": {"size": -2, "sha256": blob_of(b"{}")[-64:]}}},
    "a tree": {"files": {}, "tree": {"files": 1, "listing_size": 1, "listing_sha256": ""}},
    "no files": {"files": None},
    "another format": {"format": 2},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_manifest_is_no_hit_and_writes_nowhere(
    tmp_path: Path, disk: str, what: str
) -> None:
    Machine(tmp_path / "here", disk).push()
    change(disk, MANIFEST, lambda data: resigned({**json.loads(data), **HOSTILE[what]}))
    there = Machine(tmp_path / "there", disk)

    assert there.bring() is None

    assert len(there.warned) == 1
    assert not list(tmp_path.rglob("out"))
    assert not Path("/tmp/out").exists()
    assert not list((tmp_path / "there").rglob("*.gguf"))


def test_links_inside_an_artifact_travel(tmp_path: Path, disk: str) -> None:
    here, there = Machine(tmp_path / "here", disk), Machine(tmp_path / "there", disk)
    with here.store.lock(KEY), here.store.stage(KEY) as stage:
        (stage.workdir / "file").write_text("text")
        (stage.workdir / "link").symlink_to("file")
        made = here.store.commit(stage, free_step(), {})
    here.cache.push(free_step(), made)

    found = there.bring()
    assert found is not None
    assert (found.path / "link").readlink() == Path("file")
    assert (found.path / "link").read_text() == "text"


def test_a_killed_push_leaves_no_manifest_and_the_next_goes_on(
    tmp_path: Path, s3_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the second of two files is on its way."""
    import fsspec

    options = cache_servers.s3_options(s3_port)
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    monkeypatch.setenv("FSSPEC_S3", json.dumps(options))
    bucket = f"s3://{cache_servers.BUCKET}/killed-{id(tmp_path)}"
    files = {"a": b"first" * 100_000, "b": os.urandom(120 << 20)}
    put(Store(tmp_path / "here", print), files)
    code = f"""
import os, signal
from pathlib import Path
from tests.support.shared_caches import Machine, free_step
from orchestrator.engine import step_kinds
step_kinds.KINDS["kind"] = step_kinds.Kind("", step_kinds.Role.OUTPUT)
here = Machine(Path({str(tmp_path / "here")!r}), {bucket!r})
made = here.store.find({KEY!r})
print("ready", flush=True)
here.cache.push(free_step(), made, lambda _size: print("sent", flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert [child.stdout.readline(), child.stdout.readline()] == ["ready\n", "sent\n"]
        child.kill()

    there = Machine(tmp_path / "there", bucket)
    assert there.cache.holds([KEY]) == set()
    assert not there.warned
    again = Machine(tmp_path / "here", bucket)
    made = again.store.find(KEY)
    assert made is not None
    sent: list[int] = []
    again.cache.push(free_step(), made, sent.append)
    assert sent == [120 << 20]
    found = Machine(tmp_path / "third", bucket).bring()
    assert found is not None
    assert files_of(found.path) == files


def test_a_reader_brings_and_cannot_send(
    tmp_path: Path, s3_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    bucket = f"s3://{cache_servers.BUCKET}/reader-{id(tmp_path)}"
    monkeypatch.setitem(fsspec.config.conf, "s3", cache_servers.s3_options(s3_port))
    Machine(tmp_path / "here", bucket).push()
    reader = cache_servers.s3_options(s3_port, cache_servers.READER)
    monkeypatch.setitem(fsspec.config.conf, "s3", reader)
    there = Machine(tmp_path / "there", bucket)

    assert there.bring() is not None
    assert there.push({"x": b"new"}, OTHER) == []
    assert there.push({"x": b"newer"}, "e" * 64) == []

    assert len(there.warned) == 1
    assert "it is not asked again" in there.warned[0]
    assert "secret" not in there.warned[0]


def test_nothing_is_written_to_a_place_that_is_marked_read_only(tmp_path: Path, disk: str) -> None:
    here = Machine(tmp_path / "here", disk)
    cache = SharedCache(Remote((Place(disk, read_only=True, private=True),)), print)

    cache.push(free_step(), here.make())

    assert not (tmp_path / "cache").exists()


def test_a_changed_blob_stays_where_only_reading_is_allowed(tmp_path: Path, disk: str) -> None:
    Machine(tmp_path / "here", disk).push()
    change(disk, blob_of(FILES["model.gguf"]), flip)
    before = files_of(tmp_path / "cache")
    cache = SharedCache(Remote((Place(disk, read_only=True),)), lambda _: None)

    assert cache.bring(KEY, Store(tmp_path / "there", print)) is None
    assert files_of(tmp_path / "cache") == before


def test_a_server_that_says_nothing_is_given_up_once(tmp_path: Path) -> None:
    import fsspec

    with cache_servers.silent_server() as port, pytest.MonkeyPatch.context() as patch:
        options = cache_servers.s3_options(port)
        patch.setitem(fsspec.config.conf, "s3", options)
        second = f"file://{tmp_path}/second"
        Machine(tmp_path / "here", second).push()
        there = Machine(tmp_path / "there", "s3://cache/silent", second, patience=0.5)

        assert there.bring() is not None
        assert there.push({"x": b"y"}, OTHER) == [1]

    assert there.warned == [
        "the shared cache s3://cache/silent: no answer within 0.5 s; it is not asked again"
    ]


def test_a_network_disk_that_hangs_is_given_up(tmp_path: Path, disk: str) -> None:
    Machine(tmp_path / "here", disk).push()
    hanging = tmp_path / "cache" / blob_of(FILES["model.gguf"])
    hanging.unlink()
    os.mkfifo(hanging)  # opening it waits for a writer
    there = Machine(tmp_path / "there", disk, patience=0.5)

    assert there.bring() is None

    assert [said.partition(": ")[2] for said in there.warned] == [
        "no answer within 0.5 s; it is not asked again"
    ]
    assert not left_in(there.store, "staging")


def test_a_host_whose_key_is_not_known_is_refused(
    tmp_path: Path, ssh_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    place = f"ssh://127.0.0.1{tmp_path}/cache"
    monkeypatch.setitem(fsspec.config.conf, "ssh", ssh_options)
    Machine(tmp_path / "here", place).push()
    unknown = {name: one for name, one in ssh_options.items() if name != "known_hosts"}
    monkeypatch.setitem(fsspec.config.conf, "ssh", unknown)
    there = Machine(tmp_path / "there", place)

    assert there.bring() is None
    assert "not trusted" in there.warned[0]


def test_a_host_that_is_not_there_is_given_up(tmp_path: Path, ssh_options: object) -> None:
    there = Machine(tmp_path / "there", f"ssh://127.0.0.1:1/{tmp_path}")

    assert there.bring() is None
    assert len(there.warned) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield small
    subprocess.run(["umount", str(small)], check=True)


def test_a_full_cache_is_told_and_holds_nothing_half(tmp_path: Path, small_disk: Path) -> None:
    here = Machine(tmp_path / "here", f"file://{small_disk}")

    assert here.push({"large": os.urandom(3 << 20)}) == []

    assert "No space left" in here.warned[0]
    assert not [path for path in (small_disk / "v1").rglob("*") if path.name.endswith("json")]


def test_a_full_store_ends_the_bringing(tmp_path: Path, disk: str, small_disk: Path) -> None:
    Machine(tmp_path / "here", disk).push({"large": os.urandom(3 << 20)})
    there = Machine(small_disk / "there", disk)

    with pytest.raises(EnvironmentProblem, match="full"):
        there.bring()

    assert not left_in(there.store, "staging")
    assert there.store.find(KEY) is None


# -- whom to believe --------------------------------------------------------------------------


def test_only_what_a_trusted_key_has_signed_is_believed(tmp_path: Path, url: str) -> None:
    secret, public = keys(tmp_path)
    stranger, _ = keys(tmp_path, "stranger")
    Machine(tmp_path / "a", url).push({"x": b"unsigned"}, "a" * 64)
    Machine(tmp_path / "b", url, sign_key=stranger).push({"x": b"strange"}, "b" * 64)
    Machine(tmp_path / "c", url, sign_key=secret).push({"x": b"ours"}, "c" * 64)
    wary = Machine(tmp_path / "wary", url, trust=(public,))

    assert wary.cache.holds([letter * 64 for letter in "abc"]) == {"c" * 64}
    assert wary.bring("c" * 64) is not None
    assert wary.bring("a" * 64) is None
    assert {said.partition(" is ")[2] for said in wary.warned} == {
        "not used: it is not signed by a key that is trusted"
    }
    credulous = Machine(tmp_path / "credulous", url)
    assert credulous.cache.holds([letter * 64 for letter in "abc"]) == {
        letter * 64 for letter in "abc"
    }


def test_a_signed_manifest_is_not_believed_under_another_key(tmp_path: Path, disk: str) -> None:
    secret, public = keys(tmp_path)
    Machine(tmp_path / "here", disk, sign_key=secret).push()
    [data] = folder(disk).read([MANIFEST]).values()
    folder(disk).create(f"v1/keys/{OTHER[:2]}/{OTHER}.json", data)

    wary = Machine(tmp_path / "wary", disk, trust=(public,))
    assert wary.cache.holds([OTHER, KEY]) == {KEY}


# -- what is sent -----------------------------------------------------------------------------


def test_only_what_others_may_have_goes_to_a_cache_that_is_not_private(
    tmp_path: Path, disk: str
) -> None:
    here = Machine(tmp_path / "here")
    made = here.make()
    shared = SharedCache(Remote((Place(disk),)), here.warned.append)
    closed: list[Step] = [
        Step("kind", "no terms", KEY, {}, {}),
        Step("kind", "unfree", KEY, {}, {}, context={"terms": {"why": "it is not", "hubs": []}}),
    ]

    for step in closed:
        shared.push(step, made)
    assert not (tmp_path / "cache").exists()
    shared.push(Step("kind", "free", KEY, {}, {}, context=FREE), made)
    assert folder(disk).files("v1/keys")


def test_of_sources_and_tools_only_the_record_is_sent(tmp_path: Path, disk: str) -> None:
    here = Machine(tmp_path / "here", disk)
    outside = tmp_path / "weights"
    outside.write_bytes(b"weights")
    reference = {"path": str(outside), "size": 7, "sha256": blob_of(b"weights")[-64:]}
    with here.store.lock(KEY), here.store.stage(KEY) as stage:
        made = here.store.commit(stage, free_step(), {"references": {"w": reference}, "n": 1})

    here.cache.push(free_step(), made)

    assert not folder(disk).files("v1/blobs")
    assert not folder(disk).files("v1/keys")
    told = Machine(tmp_path / "there", disk).cache.recall([KEY, OTHER])
    assert told[KEY]["facts"] == {"n": 1}
    assert told[KEY]["files"] == {"w": {"size": 7, "sha256": reference["sha256"]}}
    assert str(tmp_path) not in json.dumps(told)
