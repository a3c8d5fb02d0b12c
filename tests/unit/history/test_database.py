"""The history: what is written comes back, whoever is killed and whoever writes beside it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.base import machine_info
from orchestrator.base.errors import EnvironmentProblem
from orchestrator.history import Alarm, Ended, History, connection, schema
from orchestrator.history.connection import reading, writing
from tests.support.history_records import a_file, a_run, a_step


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "store")


def test_a_store_without_history_has_an_empty_one_and_gets_no_file(history: History) -> None:
    assert history.nights() == []
    assert history.runs() == []
    assert history.good_runs("tiny") == []
    assert not history.path.exists()


def test_runs_that_are_noted_together_have_one_connection(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(history)
    opened = []
    connect = connection._connect

    def counted(path: Path) -> sqlite3.Connection:
        opened.append(path)
        return connect(path)

    monkeypatch.setattr(connection, "_connect", counted)
    with history.kept():
        for number in range(20):
            a_run(history, recipe=f"tiny-{number}")
            assert len(history.runs(f"tiny-{number}")) == 1
        assert len(History(history.path.parent).runs()) == 21  # another one reads it meanwhile
    assert len(opened) == 1
    history.runs()
    assert len(opened) == 2


def test_what_fails_in_a_kept_connection_leaves_nothing(history: History) -> None:
    run = a_run(history)

    def fail() -> None:
        with writing(history.path) as database:
            database.execute("DELETE FROM runs")
            raise ZeroDivisionError

    with history.kept():
        with pytest.raises(ZeroDivisionError):
            fail()
        assert [one.id for one in history.runs()] == [run]
    assert [one.id for one in history.runs()] == [run]


def test_nothing_is_kept_of_a_history_that_is_not_there(history: History) -> None:
    with history.kept():
        assert history.runs() == []
    assert not history.path.exists()


def test_a_night_with_its_runs_comes_back_as_it_was_written(history: History) -> None:
    night = history.begin_night({"select": "*"})
    alarm = Alarm("tiny-Q4_0.gguf", "bytes", "they differ", "a", "b", "identical")
    run = a_run(
        history,
        a_file(),
        a_file("Q8_0", perplexity=None),
        night=night,
        state="alarm",
        alarms=(alarm,),
        steps=(a_step(), a_step("measure", outcome="failed", exit=3, error="no", log="end\n")),
        report={"name": "tiny", "files": []},
    )
    history.end_night(night, "alarm", {"alarms": 1})

    [found] = history.runs("tiny")
    assert (found.id, found.night, found.state, found.commit) == (run, night, "alarm", "1" * 40)
    assert found.ended >= found.started > "2026"
    assert history.steps(run)[1] == a_step(
        "measure", outcome="failed", exit=3, error="no", log="end\n"
    )
    assert history.files([run]) == {run: [a_file(), a_file("Q8_0", perplexity=None)]}
    assert history.alarms([run]) == {run: [alarm]}
    assert history.report(found.report) == {"name": "tiny", "files": []}
    [one] = history.nights()
    assert (one.state, one.options, one.summary) == ("alarm", {"select": "*"}, {"alarms": 1})
    assert history.machines()[one.machine].described["cores"] == machine_info.cores()


def test_a_report_that_stays_the_same_is_stored_once(history: History) -> None:
    for _ in range(3):
        a_run(history, report={"name": "tiny"})

    with closing(sqlite3.connect(history.path)) as database:
        assert database.execute("SELECT count(*) FROM reports").fetchone() == (1,)


def test_runs_are_chosen_by_recipe_by_night_and_newest_first(history: History) -> None:
    night = history.begin_night({})
    first = a_run(history, night=night)
    other = a_run(history, night=night, recipe="other")
    by_hand = a_run(history)

    assert [run.id for run in history.runs("tiny")] == [by_hand, first]
    assert [run.id for run in history.runs(night=night)] == [other, first]
    assert [run.id for run in history.runs("tiny", nightly=True)] == [first]
    assert [run.id for run in history.runs(limit=1)] == [by_hand]
    assert history.recipes() == ["other", "tiny"]


def test_the_last_good_night_is_neither_by_hand_nor_failed_nor_one_with_an_alarm(
    history: History,
) -> None:
    good = a_run(history, night=1, state="warning")
    for state in ("failed", "alarm", "environment", "left"):
        a_run(history, night=1, state=state)
    a_run(history)

    assert [found.id for found in history.good_runs("tiny")] == [good]
    assert history.good_runs("tiny", before=good) == []


def test_what_a_person_accepts_becomes_the_last_good_night(history: History) -> None:
    a_run(history, a_file(), night=1)
    changed = a_run(history, a_file(sha256="cd" * 32), night=2, state="alarm")
    a_run(history, night=3, state="failed")  # without files there is nothing to compare with

    newest = history.acceptable("tiny")

    assert newest is not None
    assert newest.id == changed
    history.accept(newest.id)
    found = history.good_runs("tiny")[0]
    assert (found.id, found.good) == (changed, True)
    assert history.acceptable("unknown") is None


def test_many_runs_at_once_lose_nothing(history: History) -> None:
    def one(number: int) -> int:
        return a_run(history, a_file(), recipe=f"recipe-{number % 7}")

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(one, range(40)))

    assert len(set(numbers)) == 40
    assert len(history.runs()) == 40
    assert all(len(rows) == 1 for rows in history.files(numbers).values())


def test_more_runs_than_one_query_takes_are_read_whole(history: History) -> None:
    run = a_run(history, a_file())

    found = history.files([*range(10**6, 10**6 + 2000), run])

    assert found == {run: [a_file()]}


CHILD = """
import os, sys
from pathlib import Path
from orchestrator.history import History, connection
history = History(Path(sys.argv[1]))
history.begin_run("tiny", Path("tiny.yaml"), "d" * 64, night=1)
with connection.writing(history.path) as database:
    database.execute("INSERT INTO reports VALUES ('half', 'done')")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_kill_in_the_middle_of_a_transaction_leaves_an_interrupted_run(history: History) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(history.path.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        [running] = history.runs()
        assert running.state == "running"
        os.kill(child.pid, signal.SIGKILL)

    [found] = history.runs()
    assert (found.state, found.ended, found.good) == ("interrupted", "", False)
    assert history.report("half") == {}
    run = a_run(history)
    assert history.runs()[0].id == run


def test_a_process_with_the_number_of_an_earlier_one_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = machine_info.process_id()
    pid, started, host = own.split("@")

    assert machine_info.process_runs(own)
    assert not machine_info.process_runs(f"{pid}@{int(started) - 1}@{host}")
    assert machine_info.process_runs(f"{pid}@1@another-host")  # nobody here can tell
    assert not machine_info.process_runs(f"{2**22 + 1}@1@{host}")


def test_a_damaged_database_is_said_with_its_place(history: History) -> None:
    history.path.parent.mkdir(parents=True)
    history.path.write_bytes(b"no database at all, but long enough to be looked at as one")

    with pytest.raises(EnvironmentProblem, match=r"history.sqlite cannot be .*not a database"):
        history.runs()


def test_the_tables_of_a_newer_version_are_left_alone(history: History) -> None:
    a_run(history)
    with closing(sqlite3.connect(history.path)) as database:
        database.execute(f"PRAGMA user_version = {schema.VERSION + 1}")

    with pytest.raises(EnvironmentProblem, match="newer version of this program"):
        a_run(history)


def test_an_earlier_database_is_migrated_once_and_keeps_its_rows(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(history)
    later = (*schema.MIGRATIONS, ("ALTER TABLE runs ADD COLUMN more TEXT NOT NULL DEFAULT 'x'",))
    monkeypatch.setattr("orchestrator.history.connection.MIGRATIONS", later)
    monkeypatch.setattr("orchestrator.history.connection.VERSION", len(later))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: history.runs(), range(8)))

    assert all([one.id for one in runs] == [run] for runs in found)
    with reading(history.path) as database:
        assert database is not None
        assert database.execute("SELECT more FROM runs").fetchone()[0] == "x"


def test_a_migration_that_fails_changes_nothing(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(history)
    broken = (*schema.MIGRATIONS, ("CREATE TABLE more (x)", "no statement at all"))
    monkeypatch.setattr("orchestrator.history.connection.MIGRATIONS", broken)
    monkeypatch.setattr("orchestrator.history.connection.VERSION", len(broken))

    with pytest.raises(EnvironmentProblem, match="syntax error"):
        history.runs()

    monkeypatch.undo()
    assert [one.id for one in history.runs()] == [run]


def test_an_error_between_writes_undoes_them(history: History) -> None:
    a_run(history)

    def half() -> None:
        with writing(history.path) as database:
            database.execute("DELETE FROM runs")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()

    assert len(history.runs()) == 1


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be used"):
        History(tmp_path / "file" / "store").begin_night({})


def test_an_end_that_fails_halfway_is_no_end(history: History) -> None:
    run = history.begin_run("tiny", Path("tiny.yaml"), "d" * 64)
    wrong = a_file(size={"no": "number"})

    with pytest.raises(EnvironmentProblem):
        history.end_run(run, Ended("ok", steps=(a_step(),), files=(wrong,)))

    [found] = history.runs()
    assert found.ended == ""
    assert history.steps(run) == []


def test_brief_nights_leave_out_what_is_said_of_recipes(history: History) -> None:
    night = history.begin_night({})
    history.end_night(night, "ok", {"notes": ["n"], "recipes": [{"recipe": "tiny"}]})

    (brief,) = history.nights(brief=True)
    (whole,) = history.nights()

    assert brief.summary == {"notes": ["n"]}
    assert whole.summary == history.summary(night)
    assert whole.summary["recipes"] == [{"recipe": "tiny"}]
    assert history.summary(night + 1) == {}


def test_steps_are_counted_and_failed_ones_told_for_many_runs_at_once(history: History) -> None:
    first = a_run(history, steps=(a_step(), a_step(outcome="hit")))
    second = a_run(history, steps=(a_step(), a_step("broken", outcome="failed", log="end")))

    assert history.step_counts() == {first: {"done": 1, "hit": 1}, second: {"done": 1, "failed": 1}}
    assert history.step_counts(second) == {second: {"done": 1, "failed": 1}}
    assert [step.label for step in history.failures()[second]] == ["broken"]
    assert first not in history.failures()


def test_of_many_runs_asked_for_at_once_none_is_forgotten(tmp_path: Path) -> None:
    history = History(tmp_path)
    run = a_run(history, a_file())
    others = list(range(run + 1, run + 1001))

    for place in (0, 498, 499, 500, 1000):
        assert history.files([*others[:place], run, *others[place:]]) == {run: [a_file()]}


def test_old_nights_are_forgotten_but_for_what_later_ones_are_compared_with(
    history: History,
) -> None:
    runs = []
    for state in ("ok", "ok", "failed", "alarm"):
        night = history.begin_night({})
        runs.append(a_run(history, a_file(), night=night, state=state, report={"n": night}))
        history.end_night(night, state, {})
    by_hand = a_run(history, a_file())
    without_files = a_run(history)
    going = history.begin_night({})

    assert history.forget("9999") == 3

    assert [run.id for run in history.runs()] == [by_hand, runs[3], runs[1]]
    assert without_files not in [run.id for run in history.runs()]
    assert history.good_runs("tiny")[0].id == runs[1]
    assert [night.id for night in history.nights()] == [going, 4, 2]
    assert history.files(runs) == {runs[1]: [a_file()], runs[3]: [a_file()]}
    with reading(history.path) as database:
        assert database is not None
        assert database.execute("SELECT COUNT(*) FROM reports").fetchone()[0] == 2
    assert history.forget("2000") == 0
