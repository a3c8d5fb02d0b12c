"""Databases of earlier versions: made by the statements of their time, read by today's program."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.history import FileRow, History, schema
from tests.support.command_line import Command
from tests.support.fixtures import orchestrate
from tests.support.history_records import a_file, a_run

__all__ = ["orchestrate"]

# A released migration is never edited: databases are out there that it made.
RELEASED = (
    "1350ac7660950e26",
    "0c448540c6eb9557",
)
MACHINE = 'INSERT INTO machines VALUES (\'m\', \'{"processor": "a processor", "cores": 2}\')'
RUN = """INSERT INTO runs VALUES (
    1, 1, 'tiny', 'tiny.yaml', 'd', 'llama.cpp', '1111', 'https://example.invalid', 'm', '1@1@h',
    '2026-11-20T02:00:00+00:00', '2026-11-20T02:10:00+00:00', 'ok', '', '', '')"""
# run, file, type, sha256, status, size, bits_per_weight, step, artifact_file, asked, measure,
# fresh, perplexity, its error, increase, kld, same_top, both speeds, memory, verdict, note, against
FILES = (
    """1, 'F16, for comparison', 'F16', 'aa', 'pass', 4000000123, 16.0, 's', 'model.gguf', 'a', 'm',
    1, 5.0, 0.1, NULL, NULL, NULL, 900.5, 100.25, 4100000001, '', '', 0""",
    """1, 'tiny-Q4_0.gguf', 'Q4_0', 'bb', 'warn', 1000001, 4.5, 's2', 'model.gguf', 'a2', 'm2',
    0, 5.1, NULL, 0.02, 0.0123, 0.97, NULL, 120.0, NULL, 'near', 'a note', 7""",
    """1, 'tiny-Q2_K.gguf', 'Q2_K', 'cc', 'pass', 7, 2.5, '', '', '', '',
    0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', '', 0""",
)
READ = {
    "F16": {
        "header": {"size": 4_000_000_123, "bits_per_weight": 16.0},
        "perplexity": {"value": 5.0, "error": 0.1},
        "speed": {"prompt_per_second": 900.5, "generation_per_second": 100.25},
        "memory": {"peak": 4_100_000_001},
    },
    "Q4_0": {
        "header": {"size": 1_000_001, "bits_per_weight": 4.5},
        "perplexity": {"value": 5.1, "increase": 0.02},
        "kld": {"mean": 0.0123, "same_top": 0.97},
        "speed": {"generation_per_second": 120.0},
    },
    "Q2_K": {"header": {"size": 7, "bits_per_weight": 2.5}},
}


def made_then(folder: Path, version: int) -> History:
    """A database as the program of that version left it, with one night of three files."""
    history = History(folder)
    history.path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(history.path)) as database, database:
        for statement in (one for part in schema.MIGRATIONS[:version] for one in part):
            database.execute(statement)
        for statement in (MACHINE, RUN):
            database.execute(statement)
        more = ", 'measured so'" if version > 1 else ""
        for row in FILES:
            database.execute(f"INSERT INTO files VALUES ({row}{more})")
        database.execute(f"PRAGMA user_version = {version}")
    return history


@pytest.mark.parametrize("version", [1, 2])
def test_a_database_of_an_earlier_version_keeps_every_number(tmp_path: Path, version: int) -> None:
    history = made_then(tmp_path, version)

    [full, near, bare] = history.files([1])[1]

    assert {row.type: row.numbers for row in (full, near, bare)} == READ
    assert type(full.size) is type(full.number("memory", "peak")) is int
    measuring = "measured so" if version > 1 else ""
    assert near == FileRow(
        *("tiny-Q4_0.gguf", "Q4_0", "bb", "warn", "s2", "model.gguf", "a2", "m2"),
        verdict="near",
        note="a note",
        against=7,
        measuring=measuring,
        numbers=READ["Q4_0"],
    )
    assert (full.fresh, near.fresh) == (True, False)
    assert [run.recipe for run in history.runs()] == ["tiny"]


def test_a_migrated_database_takes_new_runs_beside_the_old_ones(tmp_path: Path) -> None:
    history = made_then(tmp_path, 2)

    run = a_run(history, a_file())

    assert history.files([run, 1])[run] == [a_file()]
    assert len(history.files([1])[1]) == 3


def test_a_migrated_database_is_shown(
    orchestrate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path))
    made_then(tmp_path, 2)

    text = orchestrate("history", "tiny").out
    site = orchestrate("site", tmp_path / "site")

    assert "5.1000" in text
    assert "0.01230" in text
    assert site.code == 0
    lines = (tmp_path / "site" / "recipes" / "tiny.csv").read_text().splitlines()
    told = dict(zip(lines[0].split(","), lines[2].split(","), strict=True))
    assert (told["type"], told["perplexity"], told["kld"]) == ("Q4_0", "5.1", "0.0123")


def test_released_migrations_are_as_they_were_released() -> None:
    made = ["\n".join(part) for part in schema.MIGRATIONS]

    found = tuple(hashlib.sha256(text.encode()).hexdigest()[:16] for text in made)

    assert found[: len(RELEASED)] == RELEASED
