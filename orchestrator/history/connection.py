"""Connections to the history: opened for one piece of work, migrated first, then closed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.history.schema import MIGRATIONS, VERSION

if TYPE_CHECKING:
    import sqlite3

BUSY_SECONDS = 30.0
# What SQLite says of tables that are not those of the version that the file states.
_SHAPE = ("no such table", "no such column", "has no column", "already exists", "values for")


# A file, and the one connection to it that is used for a while.
_kept: ContextVar[tuple[Path, sqlite3.Connection] | None] = ContextVar("_kept", default=None)


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Let all pieces of work on a database meanwhile, in this thread, have one connection.

    Opening one and closing the last take longer than the work itself: that copies the
    write-ahead log into the file. Where there is no database, or none that can be written to,
    nothing is kept, and whoever works on it says why.
    """
    import sqlite3  # noqa: PLC0415 - not needed by most commands

    with ExitStack() as stack:
        with suppress(sqlite3.Error, OSError):
            if path.exists():
                database = stack.enter_context(closing(_connect(path)))
                stack.callback(_kept.reset, _kept.set((path, database)))
        yield


@contextmanager
def _connected(path: Path, connect: Callable[[Path], sqlite3.Connection]) -> Iterator[Any]:
    """The connection that is kept, without a transaction at the end; else one of its own."""
    held = _kept.get()
    if held is None or held[0] != path:
        with closing(connect(path)) as database:
            yield database
        return
    try:
        yield held[1]
    finally:
        if held[1].in_transaction:
            held[1].rollback()


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in a transaction that is committed at the end, or not at all.

    Raises:
        EnvironmentProblem: The database cannot be written, is damaged, or is a newer one.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _connected(path, _connect) as database:
            migrate(database, path)
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield database


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection that sees one state of the database; None where there is none yet.

    Raises:
        EnvironmentProblem: As :func:`writing`, or what was read is no value of ours.
    """
    if not path.exists():
        yield None
        return
    try:
        with _explained(path), _connected(path, _readable) as database:
            database.execute("BEGIN")
            yield database
    except (ValueError, TypeError, LookupError) as error:
        raise EnvironmentProblem(
            f"the history in {path} holds what this program does not write: {error}",
            _ASIDE,
        ) from error


def _readable(path: Path) -> sqlite3.Connection:
    """A connection to read with: also where nothing can be written, as on a read-only disk."""
    import sqlite3  # noqa: PLC0415 - not needed by most commands

    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        database = _connect(path)
        migrate(database, path)
        return database
    # A write-ahead log is read with its writers' index; without writers there is none, and
    # nothing changes: "immutable" then asks for none (https://www.sqlite.org/wal.html#readonly).
    for how in ("mode=ro", "immutable=1"):
        database = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)
        database.row_factory = sqlite3.Row
        try:
            found = _version(database, path)
        except sqlite3.OperationalError:
            database.close()
            continue
        if found == VERSION:
            return database
        with closing(database):
            _expect_ours(database, path)
        raise EnvironmentProblem(
            f"the history in {path} is of an earlier version, and it cannot be written to",
            "Run this program once where it can.",
        )
    raise OSError(f"it can be neither read nor written by {_user()}")


def _user() -> str:
    return f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"


def _connect(path: Path) -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415 - not needed by most commands

    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA journal_mode = WAL")
    # With a write-ahead log this loses the last transactions in a power cut, never the file.
    database.execute("PRAGMA synchronous = NORMAL")
    return database


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    import sqlite3  # noqa: PLC0415 - not needed by most commands

    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise EnvironmentProblem(
            f"the history in {path} cannot be used: {error}", _advice(str(error))
        ) from error


_ASIDE = "Move the file away with those beside it (-wal, -shm): a new one is begun."


def _advice(said: str) -> str:
    """What to do, by SQLite's words (https://www.sqlite.org/rescode.html)."""
    if "is locked" in said:
        return (
            f"Another program has held its lock for {BUSY_SECONDS:.0f} s: end that, or try again."
        )
    if "not a database" in said or "malformed" in said:
        return _ASIDE
    if any(words in said for words in _SHAPE):
        return f"It is not as this program made it. {_ASIDE}"
    if "readonly" in said or "unable to open" in said or "Read-only" in said:
        return "Make the store's folder writable, or set ORCHESTRATE_HOME to one of your own."
    if "full" in said or "I/O" in said or "No space" in said:
        return "Free some space if the disk is full."
    return f"Try again; if it stays so: {_ASIDE[0].lower()}{_ASIDE[1:]}"


def migrate(database: sqlite3.Connection, path: Path) -> None:
    """Bring the tables to this version, each migration in one transaction.

    Raises:
        EnvironmentProblem: A newer version of this program made them, or another program.
    """
    _expect_ours(database, path)
    while (version := _version(database, path)) < VERSION:
        database.execute("BEGIN IMMEDIATE")
        with database:
            if _version(database, path) == version:  # nobody else was faster
                for statement in MIGRATIONS[version]:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {version + 1}")


def _version(database: sqlite3.Connection, path: Path) -> int:
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    if found < 0:
        raise _foreign(path, f"its user_version is {found}")
    if found > VERSION:
        raise EnvironmentProblem(
            f"the history in {path} was made by a newer version of this program "
            f"(its tables are version {found}, known are {VERSION})",
            f"Use that version, or another ORCHESTRATE_HOME. Or: {_ASIDE[0].lower()}{_ASIDE[1:]}",
        )
    return found


def _expect_ours(database: sqlite3.Connection, path: Path) -> None:
    """A file of version 0 was just begun and is empty, or it is another program's."""
    if _version(database, path) > 0:
        return
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    names = [str(row[0]) for row in database.execute(query)]
    # Another process may have made the tables since.
    if names and _version(database, path) == 0:
        raise _foreign(path, f"it has the tables {', '.join(names[:3])}")


def _foreign(path: Path, why: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{path} is a database, but no history of this program: {why}", _ASIDE
    )
