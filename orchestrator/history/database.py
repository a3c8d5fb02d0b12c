"""The history of one store: written while runs go on, read by nights, pages and people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime, timezone
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.base import machine_info
from orchestrator.base.digest import key as digest_of
from orchestrator.base.digest import key_of_parsed
from orchestrator.base.step_values import JSON, Outcome
from orchestrator.history.connection import kept, reading, writing
from orchestrator.history.row_mapping import (
    RUN,
    Made,
    machine_of,
    night_of,
    object_of,
    run_of,
    summary_of,
    value_of,
)
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


def _row(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """Gives the columns of such a value; its fields are numbers and texts."""
    return attrgetter(*_names(kind))


_FILE = tuple(name for name in _names(FileRow) if name != "numbers")


@dataclass(frozen=True)
class _Number:
    """One number of a file, and its error if it has one."""

    file: str
    measure: str
    number: str
    value: float
    error: float | None


_NUMBER = _names(_Number)


_LATEST_STEPS = 5000  # for an estimate, no older ones are looked at


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

    def kept(self) -> AbstractContextManager[None]:
        """As :func:`orchestrator.history.connection.kept`."""
        return kept(self.path)

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

    def change_commit(self, run: int, commit: str) -> None:
        """Note that a run goes on with another commit of the tool chain."""
        with writing(self.path) as database:
            database.execute('UPDATE runs SET "commit" = ? WHERE id = ?', (commit, run))

    def end_run(self, run: int, ended: Ended) -> None:
        """Note all that is known of a run when it is over."""
        with writing(self.path) as database:
            report = _keep_report(database, ended.report)
            database.execute(
                "UPDATE runs SET ended = ?, state = ?, error = ?, report = ? WHERE id = ?",
                (now(), ended.state, ended.error, report, run),
            )
            _insert_all(database, "steps", run, _names(StepRow), map(_row(StepRow), ended.steps))
            _insert_all(database, "files", run, _FILE, map(attrgetter(*_FILE), ended.files))
            _insert_all(database, "numbers", run, _NUMBER, _numbers_of(ended.files))
            _insert_all(database, "alarms", run, _names(Alarm), map(_row(Alarm), ended.alarms))

    def accept(self, run: int) -> None:
        """Let a night's run of a recipe be what later ones are compared with, by its number."""
        with writing(self.path) as database:
            database.execute("UPDATE runs SET accepted = ? WHERE id = ?", (now(), run))

    def forget(self, before: str) -> int:
        """Remove nights and runs that began before a moment (as :func:`now`); how many runs.

        Of each recipe its newest run with files and its newest good ones, which later nights
        are compared with, stay however old they are.
        """
        with writing(self.path) as database:
            gone = _out_of_date(database, before)
            database.executemany("DELETE FROM runs WHERE id = ?", [(run,) for run in gone])
            for table in ("steps", "files", "numbers", "alarms"):
                database.execute(f"DELETE FROM {table} WHERE run NOT IN (SELECT id FROM runs)")  # noqa: S608
            database.execute(
                "DELETE FROM nights WHERE started < ? AND state != ?"
                " AND id NOT IN (SELECT night FROM runs)",
                (before, RUNNING),
            )
            database.execute("DELETE FROM reports WHERE digest NOT IN (SELECT report FROM runs)")
        return len(gone)

    # -- reading -------------------------------------------------------------------------

    def machines(self) -> dict[str, Machine]:
        """Every machine that wrote here, by its id."""
        found = self._all(machine_of, "SELECT id, described FROM machines")
        return {one.id: one for one in found}

    def acceptable(self, recipe: str) -> Run | None:
        """A recipe's newest run in a night; None when it has none with files."""
        found = self._all(
            run_of,
            f"SELECT {_columns(RUN)}, process FROM runs WHERE recipe = ? AND night > 0"  # noqa: S608
            " AND id IN (SELECT run FROM files) ORDER BY id DESC LIMIT 1",
            recipe,
        )
        return found[0] if found else None

    def nights(self, limit: int = -1, *, brief: bool = False) -> list[Night]:
        """Nights, the newest first; brief ones without what their summaries say of recipes.

        That is most of a summary, and too much to have of all nights at once.
        """
        summary = "json_remove(summary, '$.recipes')" if brief else "summary"
        return self._all(
            night_of,
            f"SELECT id, started, ended, machine, process, state, options, {summary} AS summary"  # noqa: S608
            " FROM nights ORDER BY id DESC LIMIT ?",
            limit,
        )

    def summary(self, night: int) -> Mapping[str, JSON]:
        """The whole summary of one night; empty before its end."""
        query = "SELECT summary FROM nights WHERE id = ?"
        found = self._all(lambda row: summary_of(row["summary"]), query, night)
        return found[0] if found else {}

    def recipes(self) -> list[str]:
        """The names of all recipes that were run."""
        return self._all(lambda row: str(row[0]), "SELECT DISTINCT recipe FROM runs ORDER BY 1")

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
        return self._all(
            run_of,
            f"SELECT {_columns(RUN)}, process FROM runs {where}ORDER BY id DESC LIMIT ?",  # noqa: S608
            *given.values(),
            limit,
        )

    def good_runs(self, recipe: str, before: int | None = None, limit: int = -1) -> list[Run]:
        """Runs of nights that later nights may be compared with, the newest first.

        Args:
            recipe: The recipe's name.
            before: Only runs before this one.
            limit: How many at most; all when negative.
        """
        return self._all(
            run_of,
            f"SELECT {_columns(RUN)}, process FROM runs WHERE recipe = ? AND night > 0"  # noqa: S608
            f" AND (state IN ({', '.join('?' * len(GOOD))}) OR accepted != '')"
            " AND id < ? ORDER BY id DESC LIMIT ?",
            recipe,
            *GOOD,
            2**62 if before is None else before,
            limit,
        )

    def steps(self, run: int) -> list[StepRow]:
        """The steps of a run, in the order in which they ended."""
        return self.steps_of([run]).get(run, [])

    def steps_of(self, runs: Sequence[int]) -> dict[int, list[StepRow]]:
        """The steps of runs by the runs' numbers."""
        return self._rows_of("steps", StepRow, runs)

    def durations(self) -> dict[str, float]:
        """Seconds that steps took the last time they were done, by their labels."""
        query = "SELECT label, seconds FROM steps WHERE outcome = ? ORDER BY rowid DESC LIMIT ?"
        found: list[tuple[str, float]] = self._all(tuple, query, Outcome.DONE.value, _LATEST_STEPS)
        return dict(reversed(found))

    def run_counts(self, since: int = 0) -> dict[int, int]:
        """How many recipes each night ran, by the numbers of the nights from ``since`` on."""
        return dict(
            self._all(
                tuple,
                "SELECT night, COUNT(*) FROM runs WHERE night > 0 AND night >= ? GROUP BY night",
                since,
            )
        )

    def step_counts(self, since: int = 0) -> dict[int, dict[str, int]]:
        """How many steps had each outcome, by the numbers of the runs from ``since`` on."""
        found: dict[int, dict[str, int]] = {}
        query = "SELECT run, outcome, COUNT(*) FROM steps WHERE run >= ? GROUP BY run, outcome"
        rows: list[tuple[int, str, int]] = self._all(tuple, query, since)
        for run, outcome, count in rows:
            found.setdefault(run, {})[outcome] = count
        return found

    def step_seconds(self, since: int = 0) -> dict[int, float]:
        """What the steps took that worked, by the numbers of the runs from ``since`` on."""
        query = "SELECT run, SUM(seconds) FROM steps WHERE run >= ? AND outcome = ? GROUP BY run"
        found: list[tuple[int, float]] = self._all(tuple, query, since, Outcome.DONE.value)
        return dict(found)

    def failures(self, since: int = 0) -> dict[int, list[StepRow]]:
        """The steps that failed, by the numbers of the runs from ``since`` on."""
        names = _columns(_names(StepRow))
        rows = self._all(
            partial(_of_run, StepRow),
            f"SELECT run, {names} FROM steps WHERE run >= ? AND outcome = ? ORDER BY rowid",  # noqa: S608
            since,
            Outcome.FAILED.value,
        )
        return _by_run(rows)

    def files(self, runs: Sequence[int]) -> dict[int, list[FileRow]]:
        """The files of runs by the runs' numbers."""
        found, numbers = self._rows_of("files", FileRow, runs, _FILE), self._numbers(runs)
        return {
            run: [replace(row, numbers=numbers.get((run, row.file), {})) for row in rows]
            for run, rows in found.items()
        }

    def with_full_file_of_another_step(self, recipe: str, step: str, limit: int) -> list[Run]:
        """Of a recipe's newest runs those whose unquantized file was made by another step."""
        newest = "SELECT id FROM runs WHERE recipe = ? ORDER BY id DESC LIMIT ?"
        full = "SELECT 1 FROM files WHERE run = runs.id AND file = type || ', for comparison'"
        return self._all(
            run_of,
            f"SELECT {_columns(RUN)}, process FROM runs WHERE id IN ({newest})"  # noqa: S608
            f" AND EXISTS ({full} AND step != ?) ORDER BY id DESC",
            recipe,
            limit,
            step,
        )

    def _numbers(self, runs: Sequence[int]) -> dict[tuple[int, str], ByMeasure]:
        """The numbers of files by run and file."""
        found: dict[tuple[int, str], list[NumberRow]] = {}
        for run, rows in self._rows_of("numbers", _Number, runs).items():
            for one in rows:
                found.setdefault((run, one.file), []).append(astuple(one)[1:])
        errors = file_numbers.error_names()
        return {place: file_numbers.joined(rows, errors) for place, rows in found.items()}

    def alarms(self, runs: Sequence[int]) -> dict[int, list[Alarm]]:
        """The alarms of runs by the runs' numbers; runs without one are left out."""
        return self._rows_of("alarms", Alarm, runs)

    def report(self, digest: str) -> Mapping[str, JSON]:
        """The report of this digest; empty when there is none."""

        def sound(row: sqlite3.Row) -> Mapping[str, JSON]:
            found = object_of(row["content"])
            if digest_of(found) != digest:
                raise ValueError(f"the report {digest[:12]} has other content")
            return found

        found = self._all(sound, "SELECT content FROM reports WHERE digest = ?", digest)
        return found[0] if found else {}

    def _rows_of(
        self, table: str, kind: type[Made], runs: Sequence[int], names: Sequence[str] = ()
    ) -> dict[int, list[Made]]:
        """Rows of a table by run; SQLite takes a bounded number of values at once."""
        columns = _columns(names or _names(kind))
        found: list[tuple[int, Made]] = []
        for part in _parts(list(runs), 500):
            marks = ", ".join("?" * len(part))
            query = f"SELECT run, {columns} FROM {table} WHERE run IN ({marks})"  # noqa: S608
            found += self._all(partial(_of_run, kind), f"{query} ORDER BY rowid", *part)
        return _by_run(found)

    def _all(self, make: Callable[[sqlite3.Row], Made], query: str, *values: Any) -> list[Made]:
        with reading(self.path) as database:
            rows = [] if database is None else database.execute(query, values).fetchall()
            return [make(row) for row in rows]


def _out_of_date(database: sqlite3.Connection, before: str) -> list[int]:
    """Ended runs that began before a moment, without those that later ones are compared with."""
    rows = database.execute(
        "SELECT id, recipe, night > 0 AS nightly, started, state, accepted,"
        " id IN (SELECT run FROM files) AS has_files FROM runs ORDER BY id"
    ).fetchall()
    made = [row for row in rows if row["has_files"]]
    good = [row for row in made if row["state"] in GOOD or row["accepted"]]
    kept: set[int] = set()
    for some in (made, good):
        kept |= set({(row["recipe"], row["nightly"]): row["id"] for row in some}.values())
    old = [row for row in rows if row["started"] < before and row["state"] != RUNNING]
    return [row["id"] for row in old if row["id"] not in kept]


def _of_run(kind: type[Made], row: sqlite3.Row) -> tuple[int, Made]:
    """The run of a row, and the row's other columns as a value."""
    return row["run"], value_of(kind, {name: row[name] for name in row.keys()[1:]})


def _by_run(rows: Sequence[tuple[int, Made]]) -> dict[int, list[Made]]:
    found: dict[int, list[Made]] = {}
    for run, one in rows:
        found.setdefault(run, []).append(one)
    return found


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
    digest = key_of_parsed(report)
    if database.execute("SELECT 1 FROM reports WHERE digest = ?", (digest,)).fetchone() is None:
        database.execute("INSERT INTO reports VALUES (?, ?)", (digest, _text(report)))
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


def _numbers_of(files: Sequence[FileRow]) -> Iterator[tuple[Any, ...]]:
    return ((row.file, *number) for row in files for number in file_numbers.rows(row.numbers))
