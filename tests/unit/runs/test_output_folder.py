"""The published folder, on real files: links, copies, changed files, what is removed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base import file_links
from orchestrator.base.errors import EnvironmentProblem, StepError, UsageError
from orchestrator.engine import digest_cache
from orchestrator.engine.digest_cache import Digests
from orchestrator.runs import output_folder
from orchestrator.runs.output_folder import Published, Wanted, publish_files


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "dist" / "tiny"


@pytest.fixture
def other_disk() -> Iterator[Path]:
    shm = Path("/dev/shm")
    if not shm.is_dir() or not os.access(shm, os.W_OK):
        pytest.skip("there is no second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        yield Path(folder)


def wanted(folder: Path, name: str, data: bytes) -> Wanted:
    path = folder / name
    path.write_bytes(data)
    return Wanted(path, hashlib.sha256(data).hexdigest())


def publish(out: Path, files: dict[str, Wanted], **options: Any) -> Published:
    known = next(iter(files.values())).path.with_name("digests.sqlite")
    options["digests"] = Digests(known, pytest.fail)
    return publish_files(out, files, {"name": "tiny"}, lambda: "# tiny\n", **options)


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_are_hard_links_with_sums_and_reports(store: Path, out: Path) -> None:
    source = wanted(store, "model.gguf", b"weights")
    done = publish(out, {"tiny-Q4_0.gguf": source})
    assert done.ways == {"tiny-Q4_0.gguf": "hard link"}
    assert not done.notes
    assert (out / "tiny-Q4_0.gguf").samefile(source.path)
    assert sorted(listing(out)) == ["SHA256SUMS", "report.json", "report.md", "tiny-Q4_0.gguf"]
    assert (out / "report.md").read_text() == "# tiny\n"
    assert json.loads((out / "report.json").read_text())["name"] == "tiny"


def test_a_page_is_written_when_it_is_given_and_stays_when_not(store: Path, out: Path) -> None:
    files = {"tiny-Q4_0.gguf": wanted(store, "model.gguf", b"weights")}
    publish(out, files, page=lambda: "<h1>tiny</h1>")
    publish(out, files)

    assert (out / "report.html").read_text() == "<h1>tiny</h1>"
    assert "report.html" not in (out / "SHA256SUMS").read_text()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_reads_the_sums(store: Path, out: Path) -> None:
    publish(out, {"b.gguf": wanted(store, "1", b"b"), "a.gguf": wanted(store, "2", b"a")})
    command = ["sha256sum", "-c", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=True)
    assert done.stdout == "a.gguf: OK\nb.gguf: OK\n"


def test_a_warm_folder_is_not_touched(store: Path, out: Path) -> None:
    files = {"a.gguf": wanted(store, "a", b"a")}
    publish(out, files)
    before = {path: path.stat() for path in [out, *out.iterdir()]}
    assert publish(out, files).ways == {"a.gguf": "kept"}
    assert {path: path.stat() for path in [out, *out.iterdir()]} == before


def test_a_warm_folder_is_not_read(store: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a.gguf": wanted(store, "a", b"a")}
    publish(out, files)

    def read(*_: object) -> str:
        raise AssertionError("a model file was read")

    monkeypatch.setattr(digest_cache, "file_sha256", read)
    assert publish(out, files).ways == {"a.gguf": "kept"}


def test_on_another_disk_files_are_copies_that_stay(store: Path, other_disk: Path) -> None:
    files = {"a.gguf": wanted(store, "a", b"a" * 5_000_000)}
    done = publish(other_disk, files)
    assert done.ways == {"a.gguf": "copy"}
    assert any("copies" in note for note in done.notes)
    assert (other_disk / "a.gguf").read_bytes() == b"a" * 5_000_000
    before = (other_disk / "a.gguf").stat()
    assert publish(other_disk, files).ways == {"a.gguf": "kept"}
    assert (other_disk / "a.gguf").stat() == before


def test_a_changed_copy_is_replaced_and_that_is_said(store: Path, other_disk: Path) -> None:
    files = {"a.gguf": wanted(store, "a", b"right")}
    publish(other_disk, files)
    (other_disk / "a.gguf").write_bytes(b"wrong")
    os.utime(other_disk / "a.gguf", ns=(1, 1))
    done = publish(other_disk, files)
    assert (other_disk / "a.gguf").read_bytes() == b"right"
    assert any("was changed" in note for note in done.notes)


def flip(path: Path) -> None:
    """Change a byte in place, as a failing disk or a careless program would."""
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def test_a_file_changed_through_the_store_is_not_put_in_place(store: Path, out: Path) -> None:
    source = wanted(store, "a", b"right")
    publish(out, {"a.gguf": source})
    flip(out / "a.gguf")
    with pytest.raises(StepError, match="was changed while the files were made"):
        publish(out, {"a.gguf": source})


def test_a_changed_reflink_leaves_the_store_as_it_was(
    store: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ioctl(target: int, request: int, source: int) -> int:
        assert request == 0x40049409
        return os.sendfile(target, source, 0, 1000)

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    files = {"a.gguf": wanted(store, "a", b"right")}
    assert publish(out, files).ways == {"a.gguf": "reflink"}
    before = (out / "a.gguf").stat()
    assert publish(out, files).ways == {"a.gguf": "kept"}
    flip(out / "a.gguf")
    os.utime(out / "a.gguf", ns=(before.st_atime_ns, before.st_mtime_ns))
    done = publish(out, files)
    assert (out / "a.gguf").read_bytes() == files["a.gguf"].path.read_bytes() == b"right"
    assert any("was changed" in note for note in done.notes)


def test_a_changed_file_of_another_run_is_told(store: Path, out: Path) -> None:
    a, b = wanted(store, "a", b"a"), wanted(store, "b", b"b")
    publish(out, {"a.gguf": a, "b.gguf": b})
    flip(out / "b.gguf")
    [note] = publish(out, {"a.gguf": a}, keep=["b.gguf"]).notes
    assert "b.gguf was changed since it was made" in note


def test_a_file_replaced_by_the_user_is_put_right(store: Path, out: Path) -> None:
    files = {"a.gguf": wanted(store, "a", b"right")}
    publish(out, files)
    (out / "a.gguf").unlink()
    (out / "a.gguf").write_bytes(b"wrong")
    done = publish(out, files)
    assert done.ways == {"a.gguf": "hard link"}
    assert (out / "a.gguf").read_bytes() == b"right"
    assert files["a.gguf"].path.read_bytes() == b"right"
    assert any("was changed" in note for note in done.notes)


def test_a_link_in_place_of_a_file_is_replaced_not_followed(
    store: Path, out: Path, tmp_path: Path
) -> None:
    files = {"a.gguf": wanted(store, "a", b"right")}
    publish(out, files)
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    (out / "a.gguf").unlink()
    (out / "a.gguf").symlink_to(mine)
    publish(out, files)
    assert mine.read_bytes() == b"mine"
    assert not (out / "a.gguf").is_symlink()


def test_the_same_bytes_of_a_rebuilt_artifact_replace_nothing(store: Path, out: Path) -> None:
    publish(out, {"a.gguf": wanted(store, "old", b"same")})
    done = publish(out, {"a.gguf": wanted(store, "new", b"same")})
    assert done.ways == {"a.gguf": "kept"}
    assert not done.notes


def test_new_bytes_replace_old_ones(store: Path, out: Path) -> None:
    publish(out, {"a.gguf": wanted(store, "old", b"old")})
    new = wanted(store, "new", b"new")
    done = publish(out, {"a.gguf": new})
    assert not done.notes
    assert (out / "a.gguf").read_bytes() == b"new"
    assert new.sha256 in (out / "SHA256SUMS").read_text()


def test_a_foreign_file_of_that_name_is_replaced_and_that_is_said(store: Path, out: Path) -> None:
    out.mkdir(parents=True)
    (out / "a.gguf").write_bytes(b"foreign")
    done = publish(out, {"a.gguf": wanted(store, "a", b"ours")})
    assert (out / "a.gguf").read_bytes() == b"ours"
    assert any("was there before" in note for note in done.notes)


def test_only_our_own_files_are_removed(store: Path, out: Path) -> None:
    a, b = wanted(store, "a", b"a"), wanted(store, "b", b"b")
    publish(out, {"a.gguf": a, "b.gguf": b})
    (out / "notes.txt").write_text("the user's own")
    done = publish(out, {"a.gguf": a})
    assert done.removed == ["b.gguf"]
    assert b.path.exists()
    assert (out / "notes.txt").exists()
    assert "b.gguf" not in (out / "SHA256SUMS").read_text()


def test_a_file_that_the_user_changed_is_not_removed(store: Path, out: Path) -> None:
    publish(out, {"a.gguf": wanted(store, "a", b"a"), "b.gguf": wanted(store, "b", b"b")})
    (out / "b.gguf").unlink()
    (out / "b.gguf").write_bytes(b"x")
    done = publish(out, {"a.gguf": wanted(store, "a", b"a")})
    assert not done.removed
    assert (out / "b.gguf").read_bytes() == b"x"
    assert any("it stays" in note for note in done.notes)


def test_kept_files_stay_listed(store: Path, out: Path) -> None:
    a, b = wanted(store, "a", b"a"), wanted(store, "b", b"b")
    publish(out, {"a.gguf": a, "b.gguf": b})
    done = publish(out, {"a.gguf": a}, keep=["b.gguf", "never-made.gguf"])
    assert not done.removed
    assert b.sha256 in (out / "SHA256SUMS").read_text()
    assert "never-made" not in (out / "SHA256SUMS").read_text()
    assert publish(out, {"a.gguf": a}).removed == ["b.gguf"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"dist": 7}', '{"name": "mine"}'])
def test_a_report_that_is_not_ours_removes_nothing(store: Path, out: Path, text: str) -> None:
    publish(out, {"b.gguf": wanted(store, "b", b"b")})
    (out / "report.json").write_text(text)
    done = publish(out, {"a.gguf": wanted(store, "a", b"a")})
    assert not done.removed
    assert (out / "b.gguf").exists()
    assert any("was not written by this program" in note for note in done.notes)


def test_a_report_cannot_make_us_remove_files_elsewhere(
    store: Path, out: Path, tmp_path: Path
) -> None:
    victim = wanted(tmp_path, "victim", b"v")
    out.mkdir(parents=True)
    entry = {"size": 1, "sha256": victim.sha256}
    names = ["../../victim", str(victim.path)]
    report = {"dist": dict.fromkeys(names, entry) | {"x": "y"}}
    (out / "report.json").write_text(json.dumps(report))
    assert not publish(out, {"a.gguf": wanted(store, "a", b"a")}).removed
    assert victim.path.exists()


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/x", "", ".", "..", ".hidden", "report.html", "SHA256SUMS", "a\nb"]
)
def test_names_that_are_no_plain_file_names_are_refused(store: Path, out: Path, name: str) -> None:
    with pytest.raises(UsageError):
        publish(out, {name: wanted(store, "a", b"a")})
    assert not out.exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        publish(tmp_path / "file" / "dist", {"a.gguf": wanted(store, "a", b"a")})


def test_nothing_half_made_is_left_when_a_copy_breaks(
    store: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(out, {"a.gguf": wanted(store, "old", b"old")})
    before = listing(out)

    def broken(source: Path, target: Path) -> file_links.Way:
        target.write_bytes(source.read_bytes()[:1])
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(output_folder, "place", broken)
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        publish(out, {"a.gguf": wanted(store, "new", b"new")})
    assert listing(out) == before


def test_an_artifact_that_is_a_link_gives_the_file_itself(store: Path, out: Path) -> None:
    real = wanted(store, "blob", b"bytes")
    link = store / "model.gguf"
    link.symlink_to(real.path)
    publish(out, {"a.gguf": Wanted(link, real.sha256)})
    assert not (out / "a.gguf").is_symlink()
    assert (out / "a.gguf").samefile(real.path)


def test_borrowed_files_have_the_bare_name_and_the_bytes(store: Path, tmp_path: Path) -> None:
    source = wanted(store, "a", b"bytes").path
    assert file_links.borrow(source, tmp_path / "bare.gguf").read_bytes() == b"bytes"
    with pytest.raises(FileNotFoundError):
        file_links.borrow(store / "none", tmp_path / "other")
    with pytest.raises(FileExistsError):
        file_links.borrow(source, tmp_path / "bare.gguf")


def test_borrowing_works_without_symbolic_links(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise OSError(1, "a required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", forbidden)
    source = wanted(store, "a", b"bytes").path
    assert file_links.borrow(source, tmp_path / "bare.gguf").samefile(source)


def test_the_only_file_of_a_folder(store: Path) -> None:
    with pytest.raises(StepError, match="0 files"):
        file_links.only_file(store)
    wanted(store, "a", b"a")
    assert file_links.only_file(store).name == "a"
    wanted(store, "b", b"b")
    with pytest.raises(StepError, match="2 files"):
        file_links.only_file(store)
    assert file_links.only_file(store, "b").name == "b"
    with pytest.raises(StepError, match="no file 'c'"):
        file_links.only_file(store, "c")
