"""A history that cannot be written, or only later: what is made is made, and all is said."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base import machine_info
from orchestrator.base.errors import EnvironmentProblem
from orchestrator.history import History, connection, schema
from tests.support.command_line import Command
from tests.support.fixtures import fakes, orchestrate, recipes
from tests.support.history_records import a_file, a_run, a_step
from tests.support.nights import recorded_history

__all__ = ["fakes", "orchestrate", "recipes"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if subprocess.run(words, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def test_a_history_on_a_read_only_disk_is_shown(
    disk: Path, orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(disk / "store"))
    a_run(recorded_history(), a_file(), night=recorded_history().begin_night({}))
    read_only(disk)

    assert "night 1" in orchestrate("history", "tiny").out
    said = orchestrate("accept", "tiny")
    assert (said.code, "Make the store's folder writable" in said.err) == (3, True)


def test_an_earlier_history_on_a_read_only_disk_is_refused(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(disk / "store")
    a_run(history)
    read_only(disk)
    monkeypatch.setattr(connection, "VERSION", schema.VERSION + 1)

    with pytest.raises(EnvironmentProblem, match="of an earlier version"):
        history.runs()


@pytest.mark.usefixtures("fakes")
def test_no_night_begins_where_nothing_can_be_written(
    disk: Path, orchestrate: Command, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(disk / "store"))
    (disk / "filler").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
    full = orchestrate("nightly", recipes)
    (disk / "filler").unlink()
    read_only(disk)
    closed = orchestrate("nightly", recipes)

    start = f"error: no night can start in the store {disk / 'store'}: "
    assert (full.code, closed.code) == (3, 3)
    assert f"{start}No space left on device" in full.err
    assert f"{start}Read-only file system" in closed.err
    assert "ORCHESTRATE_HOME" in closed.err


@pytest.mark.usefixtures("fakes")
def test_a_damaged_history_ends_a_night_at_once_and_warns_a_run(
    orchestrate: Command, recipes: Path
) -> None:
    orchestrate("history")
    recorded_history().path.parent.mkdir(parents=True, exist_ok=True)
    recorded_history().path.write_bytes(b"no database" * 1000)

    night = orchestrate("nightly", recipes)
    run = orchestrate("run", recipes / "one.yaml")

    assert (night.code, run.code) == (3, 0)
    assert "file is not a database" in night.err
    assert "Move the file away" in night.err
    assert not Path("dist/two").exists()
    assert Path("dist/one/one-Q4_0.gguf").exists()
    assert run.err.count("warning: the history") == 1


@pytest.mark.usefixtures("fakes")
def test_a_history_that_another_program_keeps_for_long_is_no_reason_to_make_nothing(
    orchestrate: Command, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    a_run(recorded_history())
    with closing(sqlite3.connect(recorded_history().path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        run = orchestrate("run", recipes / "one.yaml")
        night = orchestrate("nightly", recipes)
        shown = orchestrate("history")

    assert (run.code, "warning: the history" in run.err) == (0, True)
    assert Path("dist/one/one-Q4_0.gguf").exists()
    assert (night.code, "database is locked" in night.err) == (3, True)
    assert "Another program has held its lock" in night.err
    assert "tiny" in shown.out  # readers wait for nobody


def test_a_night_that_began_another_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in a container, say, whose processes nobody can look for."""
    history = History(tmp_path)
    monkeypatch.setattr(machine_info, "process_id", lambda: "1@2@a-container")
    lost = history.begin_night({})
    a_run(history, night=lost)
    history.begin_run("other", Path("other.yaml"), "d" * 64, night=lost)
    by_hand = history.begin_run("third", Path("third.yaml"), "d" * 64)
    assert [night.state for night in history.nights()] == ["running"]

    history.begin_night({})

    assert [night.state for night in history.nights()] == ["running", "interrupted"]
    states = {run.recipe: run.state for run in history.runs()}
    assert states == {"tiny": "ok", "other": "interrupted", "third": "running"}
    assert history.runs()[0].id == by_hand


def test_a_night_without_a_recipe_yet_is_shown(orchestrate: Command) -> None:
    recorded_history().begin_night({})

    assert "running" in orchestrate("history").out


def test_the_file_of_a_renamed_recipe_means_its_newest_name(orchestrate: Command) -> None:
    for name in ("old", "new"):
        recorded_history().begin_run(name, Path("recipe.yaml").absolute(), "d" * 64)

    said = orchestrate("history", "recipe.yaml")

    assert (said.code, "new" in said.out, "old" in said.out) == (0, True, False)


def test_long_histories_are_read_in_few_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.commands import display_history

    history = History(tmp_path)
    for _ in range(30):
        night = history.begin_night({})
        a_run(history, a_file(), night=night, steps=(a_step(),))
    asked: list[str] = []
    ask = History._all

    def counted(self: History, make: Any, query: str, *given: Any) -> Any:
        asked.append(query)
        return ask(self, make, query, *given)

    monkeypatch.setattr(History, "_all", counted)

    told = display_history.as_json(history, "", 1000)
    assert len(told["runs"]) == 30
    assert told["runs"][0]["steps"][0]["label"] == "quantize tiny to Q4_0"
    assert display_history.text(history, "", 1000, Path).count("night ") == 30
    assert len(asked) < 15


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def changed(history: History, *statements: str) -> None:
    """Run statements on the database, beside the program."""
    with closing(sqlite3.connect(history.path)) as database, database:
        for statement in statements:
            database.execute(statement)


def test_a_database_of_another_program_is_left_as_it_is_and_named(history: History) -> None:
    changed(history, "CREATE TABLE songs (title)")

    for use in (history.runs, lambda: a_run(history)):
        with pytest.raises(EnvironmentProblem) as raised:
            use()
        assert raised.value.message == (
            f"{history.path} is a database, but no history of this program: it has the tables songs"
        )
        assert "Move the file away" in raised.value.hint
    with closing(sqlite3.connect(history.path)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]


def test_a_database_with_a_version_that_never_was_is_not_ours(history: History) -> None:
    changed(history, "PRAGMA user_version = -7")

    with pytest.raises(EnvironmentProblem, match="no history of this program: its user_version"):
        history.runs()


@pytest.mark.parametrize("change", ["DROP TABLE {}", "ALTER TABLE {} RENAME COLUMN file TO x"])
@pytest.mark.parametrize("table", ["runs", "files"])
def test_a_table_or_column_that_is_missing_is_said_and_not_taken_for_a_full_disk(
    history: History, table: str, change: str
) -> None:
    run = a_run(history, a_file())
    changed(history, change.format(table))

    for use in (lambda: a_run(history, a_file()), lambda: (history.runs(), history.files([run]))):
        with pytest.raises(EnvironmentProblem) as raised:
            use()
        assert str(history.path) in raised.value.message
        assert "no such" in raised.value.message or "no column" in raised.value.message
        assert raised.value.hint.startswith("It is not as this program made it. Move the file away")


def test_the_advice_about_a_newer_history_names_both_ways(history: History) -> None:
    a_run(history)
    changed(history, f"PRAGMA user_version = {schema.VERSION + 1}")

    with pytest.raises(EnvironmentProblem) as raised:
        history.runs()

    assert "Use that version, or another ORCHESTRATE_HOME." in raised.value.hint
    assert "move the file away" in raised.value.hint


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE numbers SET value = 'x'",
        "UPDATE files SET fresh = 'x'",
        "UPDATE runs SET commit = x'ff00'",
        "UPDATE nights SET summary = '[1]'",
        'UPDATE nights SET summary = \'{"recipes": [{"notes": []}]}\'',
        "UPDATE nights SET summary = '{'",
        "UPDATE nights SET options = 7",
        "UPDATE machines SET described = ''",
        "UPDATE reports SET content = '{}'",
    ],
)
def test_what_this_program_does_not_write_is_told_as_that(tmp_path: Path, change: str) -> None:
    history = History(tmp_path)
    night = history.begin_night({})
    a_run(history, a_file(), night=night, report={"name": "tiny"})
    with closing(sqlite3.connect(history.path)) as database, database:
        database.execute(change.replace("commit", "[commit]"))

    def read_all() -> None:
        runs = history.runs()
        history.files([one.id for one in runs])
        history.report(runs[0].report)
        history.machines()
        history.nights()

    with pytest.raises(EnvironmentProblem, match="holds what this program does not write") as told:
        read_all()
    assert "Move the file away" in told.value.hint
