"""How the digests of files are remembered, beyond what the tests of the store say."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import digest_cache
from orchestrator.engine.digest_cache import Digests


def nothing() -> None:
    """What is done between two parts of a file that is read."""


@pytest.fixture
def files(tmp_path: Path) -> dict[Path, str]:
    """Files with what is remembered as their digests."""
    found = {tmp_path / str(number): f"digest {number}" for number in range(50)}
    for path in found:
        path.write_text(path.name)
    return found


def test_one_connection_serves_all_files(
    tmp_path: Path, files: dict[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Digests(tmp_path / "digests.sqlite", pytest.fail).remember(files)
    opened: list[Path] = []
    asked: list[digest_cache.Stamp] = []
    connect, recall = sqlite3.connect, digest_cache._recall

    def counted_connect(path: Path, **options: Any) -> sqlite3.Connection:
        opened.append(path)
        found: sqlite3.Connection = connect(path, **options)
        return found

    def counted_recall(table: sqlite3.Connection, stamp: digest_cache.Stamp) -> str | None:
        asked.append(stamp)
        return recall(table, stamp)

    monkeypatch.setattr(sqlite3, "connect", counted_connect)
    monkeypatch.setattr(digest_cache, "_recall", counted_recall)
    digests = Digests(tmp_path / "digests.sqlite", pytest.fail)
    for _ in range(3):
        assert {path: digests.sha256(path, nothing) for path in files} == files
    assert len(opened) == 1
    assert len(asked) == len(files)  # an answer does not change while the file does not


def test_a_file_that_changed_is_read_although_its_digest_is_known(
    tmp_path: Path, files: dict[Path, str]
) -> None:
    digests = Digests(tmp_path / "digests.sqlite", pytest.fail)
    digests.remember(files)
    path = next(iter(files))
    assert digests.sha256(path, nothing) == files[path]
    path.write_text("other")
    assert digests.sha256(path, nothing) != files[path]


def test_a_database_that_was_removed_is_made_anew(tmp_path: Path, files: dict[Path, str]) -> None:
    digests = Digests(tmp_path / "digests.sqlite", pytest.fail)
    digests.remember(files)
    (tmp_path / "digests.sqlite").unlink()
    digests.remember(files)
    path = next(iter(files))
    assert Digests(tmp_path / "digests.sqlite", pytest.fail).sha256(path, nothing) == files[path]
