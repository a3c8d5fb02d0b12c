"""The digest of a file that is read while it is written: right, or not given at all."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.base import growing_file
from orchestrator.base.growing_file import GrowingFile, following

BLOCK = 1000


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_file, "CHUNK_BYTES", BLOCK)
    monkeypatch.setattr(growing_file, "POLL_SECONDS", 0.001)


def nothing() -> None:
    pass


def written(path: Path, data: bytes, piece: int = 700) -> GrowingFile:
    """A file that was written in pieces while it was followed, and read to its end."""
    with following(path) as growing, path.open("wb", buffering=0) as file:
        for at in range(0, len(data), piece):
            file.write(data[at : at + piece])
            assert growing.wait_for(at)
    assert growing.sha256(1, nothing) == hashlib.sha256(data).hexdigest()
    return growing


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 7 * BLOCK, 7 * BLOCK + 333])
@pytest.mark.parametrize("threads", [1, 3])
def test_digest_of_a_file_that_was_followed_is_that_of_its_bytes(
    tmp_path: Path, size: int, threads: int
) -> None:
    data = os.urandom(size)

    growing = written(tmp_path / "x", data)

    assert growing.sha256(threads, nothing) == hashlib.sha256(data).hexdigest()


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        [byte] = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _swap_blocks(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[BLOCK : 2 * BLOCK] + data[:BLOCK] + data[2 * BLOCK :])


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "first byte": lambda path: _flip(path, 0),
    "inner byte": lambda path: _flip(path, 3 * BLOCK + 5),
    "last byte": lambda path: _flip(path, 5 * BLOCK + 99),
    "two blocks exchanged": _swap_blocks,
    "cut short": lambda path: os.truncate(path, 5 * BLOCK),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "another file": _replace,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("threads", [1, 2])
def test_no_digest_of_a_file_that_changed_behind_its_reader(
    tmp_path: Path, change: str, threads: int
) -> None:
    path = tmp_path / "x"
    growing = written(path, os.urandom(5 * BLOCK + 100))

    CHANGES[change](path)

    assert growing.sha256(threads, nothing) is None


def test_a_writer_that_fills_a_file_of_full_size_gets_the_right_digest_or_none(
    tmp_path: Path,
) -> None:
    path, data = tmp_path / "x", os.urandom(9 * BLOCK)
    with following(path) as growing, path.open("wb", buffering=0) as file:
        file.truncate(len(data))
        for at in reversed(range(0, len(data), BLOCK)):
            file.seek(at)
            file.write(data[at : at + BLOCK])

    assert growing.sha256(1, nothing) in (None, hashlib.sha256(data).hexdigest())


def test_a_file_that_cannot_be_followed_has_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise OSError("input/output error")

    monkeypatch.setattr(growing_file, "_fill", fails)
    path = tmp_path / "x"
    with following(path) as growing:
        path.write_bytes(b"abc")

    assert growing.sha256(1, nothing) is None


def test_an_error_of_the_last_look_is_raised(tmp_path: Path) -> None:
    growing = written(tmp_path / "x", b"abc")
    (tmp_path / "x").unlink()

    with pytest.raises(FileNotFoundError):
        growing.sha256(1, nothing)


def test_a_file_that_gets_its_name_only_later_has_the_right_digest_or_none(
    tmp_path: Path,
) -> None:
    with following(tmp_path / "x") as growing:
        (tmp_path / "other").write_bytes(b"abc")
    (tmp_path / "other").rename(tmp_path / "x")

    assert growing.sha256(1, nothing) in (None, hashlib.sha256(b"abc").hexdigest())


def test_reading_ends_with_a_writer_that_fails(tmp_path: Path) -> None:
    def fails() -> None:
        with following(tmp_path / "x"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    for thread in threading.enumerate():
        if thread.name == "follow x":
            thread.join(10)
            assert not thread.is_alive()


def test_waiting_for_more_ends_with_the_writer(tmp_path: Path) -> None:
    with following(tmp_path / "x") as growing:
        (tmp_path / "x").write_bytes(b"abc")
        assert growing.wait_for(3)

    assert growing.wait_for(3)
    assert not growing.wait_for(4)


def test_the_last_look_can_be_interrupted(tmp_path: Path) -> None:
    growing = written(tmp_path / "x", b"abc")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        growing.sha256(1, stop)
