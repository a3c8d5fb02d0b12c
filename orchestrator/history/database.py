"""The history of one store: written while runs go on, read by nights, pages and people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.base import machine_info
from orchestrator.base.digest import key as digest_of
from orchestrator.base.step_values import JSON, Outcome
from orchestrator.history.connection import reading, writing
from orchestrator.history.row_mapping import RUN, night_of, run_of
from orchestrator.history.run_records import (
    GOOD,
    INTERRUPTED,
    RUNNING,
    Alarm,
    Ended,
    FileRow,
    Machine,
    Night,
    Run,
    StepRow,
)
from orchestrator.measures import file_numbers
from orchestrator.measures.file_numbers import ByMeasure, NumberRow

if TYPE_CHECKING:
    import sqlite3

NAME = "history.sqlite"


def _names(kind: type) -> tuple[str, ...]:
    """The columns of a table whose rows are such values."""
    return tuple(one.name for one in fields(kind))


_FILE = tuple(name for name in _names(FileRow) if name != "numbers")
_NUMBER = ("file", "measure", "number", "value", "error")


def now() -> str:
    """This moment as the history writes it, such as ``2026-11-26T02:00:00+00:00``."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class History:
    """The history in the store at ``root``; safe under kills and under parallel runs.

    Every method is one transaction. All of them raise EnvironmentProblem when the database
    cannot be read or written.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / NAME

    # -- writing -------------------------------------------------------------------------

    def begin_night(self, options: Mapping[str, JSON]) -> int:
        """Note that a night begins on this machine; its number.

        Only one at a time works in a store: earlier ones that say they do were killed, also
        where their processes cannot be looked for (in another container, say).
        """
        with writing(self.path) as database:
            over = (INTERRUPTED, RUNNING)
            database.execute("UPDATE nights SET state = ? WHERE state = ?", over)
            database.execute("UPDATE runs SET state = ? WHERE state = ? AND night > 0", over)
            return _inserted(
                database,
                "INSERT INTO nights (started, machine, process, state, options)"
                " VALUES (?, ?, ?, ?, ?)",
                (now(), _here(database), machine_info.process_id(), RUNNING, _text(options)),
            )

    def end_night(self, night: int, state: str, summary: Mapping[str, JSON]) -> None:
        """Note how a night went."""
        with writing(self.path) as database:
            database.execute(
                "UPDATE nights SET ended = ?, state = ?, summary = ? WHERE id = ?",
                (now(), state, _text(summary), night),
            )

    def begin_run(
        self,
        recipe: str,
        file: Path,
        digest: str,
        *,
        night: int = 0,
        toolchain: str = "",
        commit: str = "",
        source: str = "",
    ) -> int:
        """Note that the run of one recipe begins; its number.

        Args:
            recipe: Its name.
            file: The recipe itself.
            digest: That of the recipe's content.
            night: The night it belongs to, 0 for none.
            toolchain: The tool chain's name.
            commit: The commit of the tool chain's source.
            source: Where that source is at home.
        """
        with writing(self.path) as database:
            start = (now(), _here(database), machine_info.process_id(), RUNNING)
            given = (night, recipe, str(file), digest, toolchain, commit, source)
            return _inserted(
                database,
                "INSERT INTO runs (started, machine, process, state, night, recipe, file,"
                ' digest, toolchain, "commit", source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
                (*start, *given),
            )

    def end_run(self, run: int, ended: Ended) -> None:
        """Note all that is known of a run when it is over."""
        with writing(self.path) as database:
            report = _keep_report(database, ended.report)
            database.execute(
                "UPDATE runs SET ended = ?, state = ?, error = ?, report = ? WHERE id = ?",
                (now(), ended.state, ended.error, report, run),
            )
            _insert_all(database, "steps", run, _names(StepRow), map(astuple, ended.steps))
            _insert_all(database, "files", run, _FILE, map(_file, ended.files))
            _insert_all(database, "numbers", run, _NUMBER, _numbers_of(ended.files))
            _insert_all(database, "alarms", run, _names(Alarm), map(astuple, ended.alarms))

    def accept(self, recipe: str) -> Run | None:
        """Let a recipe's newest finished night be what later ones are compared with.

        Returns:
            That run; None when the recipe has none with files.
        """
        with writing(self.path) as database:
            row = database.execute(
                f"SELECT {_columns(RUN)}, process FROM runs WHERE recipe = ? AND night > 0"  # noqa: S608
                " AND id IN (SELECT run FROM files) ORDER BY id DESC LIMIT 1",
                (recipe,),
            ).fetchone()
            if row is None:
                return None
            database.execute("UPDATE runs SET accepted = ? WHERE id = ?", (now(), row["id"]))
            return run_of(row)

    # -- reading -------------------------------------------------------------------------

    def machines(self) -> dict[str, Machine]:
        """Every machine that wrote here, by its id."""
        rows = self._all("SELECT id, described FROM machines")
        return {row["id"]: Machine(row["id"], json.loads(row["described"])) for row in rows}

    def nights(self, limit: int = -1, *, brief: bool = False) -> list[Night]:
        """Nights, the newest first; brief ones without what their summaries say of recipes.

        That is most of a summary, and too much to have of all nights at once.
        """
        summary = "json_remove(summary, '$.recipes')" if brief else "summary"
        rows = self._all(
            f"SELECT id, started, ended, machine, process, state, options, {summary} AS summary"  # noqa: S608
            " FROM nights ORDER BY id DESC LIMIT ?",
            limit,
        )
        return [night_of(row) for row in rows]

    def summary(self, night: int) -> Mapping[str, JSON]:
        """The whole summary of one night; empty before its end."""
        rows = self._all("SELECT summary FROM nights WHERE id = ?", night)
        found: Mapping[str, JSON] = json.loads(rows[0]["summary"]) if rows else {}
        return found

    def recipes(self) -> list[str]:
        """The names of all recipes that were run."""
        return [row["recipe"] for row in self._all("SELECT DISTINCT recipe FROM runs ORDER BY 1")]

    def runs(
        self, recipe: str = "", night: int | None = None, *, nightly: bool = False, limit: int = -1
    ) -> list[Run]:
        """Runs, the newest first.

        Args:
            recipe: Only of this recipe.
            night: Only of this night.
            nightly: Only those of nights, not those by hand.
            limit: How many at most; all when negative.
        """
        wanted = {"recipe = ?": recipe or None, "night = ?": night}
        given = {where: value for where, value in wanted.items() if value is not None}
        wheres = [*given, *(["night > 0"] if nightly else [])]
        where = f"WHERE {' AND '.join(wheres)} " if wheres else ""
        rows = self._all(
            f"SELECT {_columns(RUN)}, process FROM runs {where}ORDER BY id DESC LIMIT ?",  # noqa: S608
            *given.values(),
            limit,
        )
        return [run_of(row) for row in rows]

    def good_runs(self, recipe: str, before: int | None = None, limit: int = -1) -> list[Run]:
        """Runs of nights that later nights may be compared with, the newest first.

        Args:
            recipe: The recipe's name.
            before: Only runs before this one.
            limit: How many at most; all when negative.
        """
        rows = self._all(
            f"SELECT {_columns(RUN)}, process FROM runs WHERE recipe = ? AND night > 0"  # noqa: S608
            f" AND (state IN ({', '.join('?' * len(GOOD))}) OR accepted != '')"
            " AND id < ? ORDER BY id DESC LIMIT ?",
            recipe,
            *GOOD,
            2**62 if before is None else before,
            limit,
        )
        return [run_of(row) for row in rows]

    def steps(self, run: int) -> list[StepRow]:
        """The steps of a run, in the order in which they ended."""
        return self.steps_of([run]).get(run, [])

    def steps_of(self, runs: Sequence[int]) -> dict[int, list[StepRow]]:
        """The steps of runs by the runs' numbers."""
        found = self._rows_of("steps", _names(StepRow), runs)
        return {run: [StepRow(*row) for row in rows] for run, rows in found.items()}

    def run_counts(self, since: int = 0) -> dict[int, int]:
        """How many recipes each night ran, by the numbers of the nights from ``since`` on."""
        rows = self._all(
            "SELECT night, COUNT(*) AS runs FROM runs WHERE night > 0 AND night >= ?"
            " GROUP BY night",
            since,
        )
        return {row["night"]: row["runs"] for row in rows}

    def step_counts(self, since: int = 0) -> dict[int, dict[str, int]]:
        """How many steps had each outcome, by the numbers of the runs from ``since`` on."""
        found: dict[int, dict[str, int]] = {}
        rows = self._all(
            "SELECT run, outcome, COUNT(*) FROM steps WHERE run >= ? GROUP BY run, outcome", since
        )
        for run, outcome, count in rows:
            found.setdefault(run, {})[outcome] = count
        return found

    def failures(self, since: int = 0) -> dict[int, list[StepRow]]:
        """The steps that failed, by the numbers of the runs from ``since`` on."""
        names = _columns(_names(StepRow))
        rows = self._all(
            f"SELECT run, {names} FROM steps WHERE run >= ? AND outcome = ? ORDER BY rowid",  # noqa: S608
            since,
            Outcome.FAILED.value,
        )
        found: dict[int, list[StepRow]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(StepRow(*tuple(row)[1:]))
        return found

    def files(self, runs: Sequence[int]) -> dict[int, list[FileRow]]:
        """The files of runs by the runs' numbers."""
        found, numbers = self._rows_of("files", _FILE, runs), self._numbers(runs)
        return {
            run: [replace(FileRow(*row), numbers=numbers.get((run, row[0]), {})) for row in rows]
            for run, rows in found.items()
        }

    def _numbers(self, runs: Sequence[int]) -> dict[tuple[int, str], ByMeasure]:
        """The numbers of files by run and file."""
        found: dict[tuple[int, str], list[NumberRow]] = {}
        for run, rows in self._rows_of("numbers", _NUMBER, runs).items():
            for file, *told in rows:
                found.setdefault((run, file), []).append(tuple(told))
        errors = file_numbers.error_names()
        return {place: file_numbers.joined(rows, errors) for place, rows in found.items()}

    def alarms(self, runs: Sequence[int]) -> dict[int, list[Alarm]]:
        """The alarms of runs by the runs' numbers; runs without one are left out."""
        found = self._rows_of("alarms", _names(Alarm), runs)
        return {run: [Alarm(*row) for row in rows] for run, rows in found.items()}

    def report(self, digest: str) -> Mapping[str, JSON]:
        """The report of this digest; empty when there is none."""
        rows = self._all("SELECT content FROM reports WHERE digest = ?", digest)
        found: Mapping[str, JSON] = json.loads(rows[0]["content"]) if rows else {}
        return found

    def _rows_of(
        self, table: str, names: Sequence[str], runs: Sequence[int]
    ) -> dict[int, list[tuple[Any, ...]]]:
        """Rows of a table by run; SQLite takes a bounded number of values at once."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        for part in _parts(list(runs), 500):
            marks = ", ".join("?" * len(part))
            query = f"SELECT run, {_columns(names)} FROM {table} WHERE run IN ({marks})"  # noqa: S608
            for row in self._all(f"{query} ORDER BY rowid", *part):
                found.setdefault(row[0], []).append(tuple(row)[1:])
        return found

    def _all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with reading(self.path) as database:
            return [] if database is None else database.execute(query, values).fetchall()


def _parts(values: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _columns(names: Sequence[str]) -> str:
    # In double quotes SQLite would take the name of a column that is missing for a text.
    return ", ".join(f"[{name}]" for name in names)


def _text(value: Mapping[str, JSON]) -> str:
    return json.dumps(value, sort_keys=True)


def _inserted(database: sqlite3.Connection, statement: str, values: Sequence[Any]) -> int:
    return int(database.execute(statement, values).lastrowid or 0)


def _here(database: sqlite3.Connection) -> str:
    """The id of this machine, which the database knows from now on."""
    found, name = machine_info.describe(), machine_info.identity()
    database.execute(
        "INSERT OR REPLACE INTO machines (id, described) VALUES (?, ?)", (name, _text(vars(found)))
    )
    return name


def _keep_report(database: sqlite3.Connection, report: Mapping[str, JSON]) -> str:
    """Store a report once, however many nights it stays the same; its digest."""
    if not report:
        return ""
    digest = digest_of(report)
    database.execute(
        "INSERT OR IGNORE INTO reports (digest, content) VALUES (?, ?)", (digest, _text(report))
    )
    return digest


def _insert_all(
    database: sqlite3.Connection,
    table: str,
    run: int,
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    marks = ", ".join("?" * (len(names) + 1))
    statement = f"INSERT INTO {table} ({_columns(('run', *names))}) VALUES ({marks})"  # noqa: S608
    database.executemany(statement, ((run, *row) for row in rows))


def _file(row: FileRow) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in _FILE)


def _numbers_of(files: Sequence[FileRow]) -> Iterator[tuple[Any, ...]]:
    return ((row.file, *number) for row in files for number in file_numbers.rows(row.numbers))
