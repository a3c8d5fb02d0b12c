"""Digests of local files, remembered as long as a file's size, time and place stay."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base.digest import file_sha256

if TYPE_CHECKING:
    import sqlite3

# A file changed this recently could change again without a new time stamp (FAT has 2 s).
SETTLED_NS = 3_000_000_000
BUSY_SECONDS = 30.0

Stamp = tuple[int, int, int]


class Digests:
    """A small SQLite table; safe under parallel runs, and only ever an optimisation."""

    def __init__(self, database: Path, warn: Callable[[str], None]) -> None:
        self._database = database
        self._warn = warn

    def sha256(self, path: Path, between: Callable[[], None]) -> str:
        """Return a file's SHA-256, reading the file only if it may have changed.

        Raises:
            OSError: The file cannot be read.
        """
        real = os.fsencode(path.resolve())
        before = _stamp(path)
        known = self._query(lambda table: _recall(table, real, before))
        if known is not None:
            return known
        sha256 = file_sha256(path, between)
        if _stamp(path) == before and time.time_ns() - before[1] > SETTLED_NS:
            self._query(lambda table: _remember(table, real, before, sha256))
        return sha256

    def _query(self, work: Callable[[sqlite3.Connection], str | None]) -> str | None:
        import sqlite3  # noqa: PLC0415 - not needed by most commands

        try:
            self._database.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._database, timeout=BUSY_SECONDS)) as table, table:
                return work(table)
        except (sqlite3.Error, OSError) as error:
            self._warn(f"digests cannot be cached in {self._database}: {error}; remove it")
            return None


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _create(table: sqlite3.Connection) -> None:
    table.execute(
        "CREATE TABLE IF NOT EXISTS digests (path BLOB PRIMARY KEY, size INTEGER,"
        " mtime_ns INTEGER, inode TEXT, sha256 TEXT)"
    )


def _recall(table: sqlite3.Connection, path: bytes, stamp: Stamp) -> str | None:
    _create(table)
    row = table.execute(
        "SELECT sha256 FROM digests WHERE path = ? AND size = ? AND mtime_ns = ? AND inode = ?",
        (path, stamp[0], stamp[1], str(stamp[2])),  # inodes may exceed SQLite's signed integers
    ).fetchone()
    return None if row is None else str(row[0])


def _remember(table: sqlite3.Connection, path: bytes, stamp: Stamp, sha256: str) -> None:
    _create(table)
    table.execute(
        "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)",
        (path, stamp[0], stamp[1], str(stamp[2]), sha256),
    )
