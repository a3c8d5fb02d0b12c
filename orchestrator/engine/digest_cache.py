"""Digests of local files, remembered as long as a file's size, times and inode stay.

The change time is among them: it moves with every write, and no program can set it back.
Of small files that this program writes it is remembered, too, what they were made of.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base.digest import StrPath, file_sha256

if TYPE_CHECKING:
    import sqlite3

# A file changed this recently could change again without a new time stamp (FAT has 2 s).
SETTLED_NS = 3_000_000_000
BUSY_SECONDS = 30.0

_TABLES = (
    "CREATE TABLE IF NOT EXISTS contents"
    " (inode TEXT, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, sha256 TEXT,"
    " PRIMARY KEY (inode, size, mtime_ns, ctime_ns)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS made (path TEXT PRIMARY KEY, sha256 TEXT, basis TEXT)"
    " WITHOUT ROWID",
)
# The inode as text: it may exceed SQLite's signed integers. No path: hard links share an entry.
Stamp = tuple[str, int, int, int]


class Digests:
    """A small SQLite table; safe under parallel runs, and only ever an optimisation.

    One connection serves all threads, and what it has said once is not asked for again: a
    stamp's digest never changes.
    """

    def __init__(self, database: Path, warn: Callable[[str], None]) -> None:
        self._database = database
        self._warn = warn
        self._warned = False
        self._lock = threading.Lock()
        self._table: sqlite3.Connection | None = None
        self._known: dict[Stamp, str] = {}

    def sha256(self, path: StrPath, between: Callable[[], None]) -> str:
        """Return a file's SHA-256, reading the file only if it may have changed.

        Raises:
            OSError: The file cannot be read.
        """
        before = _stamp(path)
        known = self._known.get(before) or self._query(lambda table: _recall(table, before))
        if known is None:
            return self.read_again(path, between)
        self._known[before] = known
        return known

    def read_again(self, path: StrPath, between: Callable[[], None]) -> str:
        """Return a file's SHA-256, reading it whatever is known, for what leaves this machine.

        Raises:
            OSError: The file cannot be read.
        """
        before = _stamp(path)
        self._known.pop(before, None)
        sha256 = file_sha256(path, between)
        if _stamp(path) == before and time.time_ns() - before[2] > SETTLED_NS:
            self._query(lambda table: _remember(table, {before: sha256}))
        return sha256

    def remember(self, digests: Mapping[Path, str] | Mapping[str, str]) -> None:
        """Note what files hold as they are now, for whoever has just made or linked them.

        Raises:
            OSError: A file cannot be looked at.
        """
        known = {_stamp(path): sha256 for path, sha256 in digests.items()}
        if known:
            self._query(lambda table: _remember(table, known))

    def was_made_of(self, path: Path, sha256: str, basis: str) -> bool:
        """Whether a file of this content was made of what ``basis`` is a digest of."""
        wanted = (str(path.absolute()), sha256, basis)
        return self._query(lambda table: _made(table, wanted)) is not None

    def note_made(self, path: Path, sha256: str, basis: str) -> None:
        """Note what a file's content was made of; what was noted before is forgotten."""
        row = (str(path.absolute()), sha256, basis)
        self._query(lambda table: _note(table, row))

    def _query(self, work: Callable[[sqlite3.Connection], str | None]) -> str | None:
        import sqlite3  # noqa: PLC0415 - not needed by most commands

        try:
            with self._lock:
                try:
                    return self._asked(work)
                except sqlite3.Error:
                    if self._table is None:
                        raise
                    self._table.close()  # its file may have been removed since it was opened
                    self._table = None
                    return self._asked(work)
        except (sqlite3.Error, OSError) as error:
            if not self._warned:
                self._warn(f"digests cannot be cached in {self._database}: {error}; remove it")
            self._warned = True
            return None

    def _asked(self, work: Callable[[sqlite3.Connection], str | None]) -> str | None:
        self._table = table = self._table or self._opened()
        with table:
            return work(table)

    def _opened(self) -> sqlite3.Connection:
        import sqlite3  # noqa: PLC0415 - as above

        self._database.parent.mkdir(parents=True, exist_ok=True)
        table = sqlite3.connect(self._database, timeout=BUSY_SECONDS, check_same_thread=False)
        weakref.finalize(self, table.close)
        with table:
            for statement in _TABLES:
                table.execute(statement)
        return table


def _stamp(path: StrPath) -> Stamp:
    found = os.stat(path)  # noqa: PTH116 - of thousands of files
    return str(found.st_ino), found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _recall(table: sqlite3.Connection, stamp: Stamp) -> str | None:
    row = table.execute(
        "SELECT sha256 FROM contents"
        " WHERE inode = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?",
        stamp,
    ).fetchone()
    return None if row is None else str(row[0])


def _remember(table: sqlite3.Connection, known: Mapping[Stamp, str]) -> None:
    rows = [(*stamp, sha256) for stamp, sha256 in known.items()]
    table.executemany("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?)", rows)


def _made(table: sqlite3.Connection, wanted: tuple[str, str, str]) -> str | None:
    query = "SELECT path FROM made WHERE path = ? AND sha256 = ? AND basis = ?"
    row = table.execute(query, wanted).fetchone()
    return None if row is None else str(row[0])


def _note(table: sqlite3.Connection, row: tuple[str, str, str]) -> None:
    table.execute("INSERT OR REPLACE INTO made VALUES (?, ?, ?)", row)
