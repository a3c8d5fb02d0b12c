"""How long the site of a long history takes, and how large it is.

    python scripts/bench_site.py [--recipes 100] [--nights 365]

Makes a history with five files a recipe and the unquantized one, sixteen steps a run, two
machines, noisy speeds every night, numbers that move with the commits, one failure in fifty
with a log of 8 kB; then writes the site three times: new, unchanged, and after another night.
Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from orchestrator.base import units
from orchestrator.history import Alarm, FileRow, History, StepRow, site
from orchestrator.measures import file_numbers

BEGIN = datetime(2026, 1, 1, 2, 0, tzinfo=timezone.utc)
TYPES = (
    ("F16", 16.0),
    ("Q3_K_M", 3.9),
    ("Q4_0", 4.6),
    ("Q4_K_M", 4.9),
    ("Q5_K_M", 5.7),
    ("Q8_0", 8.5),
)
STEPS = 16
LOG = "error: this line stands for one of a compiler's or a converter's\n" * 125
MACHINES = ("aaaaaaaaaaaa", "bbbbbbbbbbbb")


class Writer:
    """Writes rows in bulk; what the history itself writes row by row takes minutes."""

    def __init__(self, database: sqlite3.Connection, run: int) -> None:
        self._database = database
        self._run = run

    def night(self, number: int, recipes: int) -> None:
        """One night with all of its runs."""
        chance = random.Random(number)
        begin = BEGIN + timedelta(days=number - 1)
        times = (begin.isoformat(), (begin + timedelta(hours=3)).isoformat())
        machine = MACHINES[number % 5 == 0]
        said = [{"recipe": f"model-{one:03}", "files": []} for one in range(recipes)]
        summary = json.dumps({"store_bytes": 10**11, "notes": [], "recipes": said})
        night = (number, *times, machine, "", "ok", json.dumps({"rebuild": False}), summary)
        self._insert("nights", [night])
        for recipe in range(recipes):
            self._recipe(chance, number, f"model-{recipe:03}-7b-chat", times, machine)

    def _recipe(
        self, chance: random.Random, night: int, name: str, times: tuple[str, str], machine: str
    ) -> None:
        self._run += 1
        failed, alarm = chance.random() < 0.02, chance.random() < 0.02
        state = "failed" if failed else "alarm" if alarm else "ok"
        commit = sha256(f"commit {night * 5 // 7}".encode()).hexdigest()[:40]
        source = "https://github.com/ggml-org/llama.cpp"
        chain = ("llama.cpp", commit, source, machine, "")
        error = "convert: the converter ended with exit code 1" if failed else ""
        row = (self._run, night, name, f"recipes/{name}.yaml", "d" * 64, *chain, *times)
        self._insert("runs", [(*row, state, error, "", "")])
        self._rows("steps", list(_steps(failed, night)))
        if not failed:
            files = list(_files(chance, name, night * 5 // 7))
            self._rows("files", files)
            self._numbers(files)
            if alarm:
                self._rows("alarms", [Alarm(files[1].file, "bytes", "the bytes are other ones")])

    def _rows(self, table: str, rows: Sequence[Any]) -> None:
        kept = [one.name for one in fields(rows[0]) if one.name != "numbers"]
        names = ", ".join(f"[{name}]" for name in kept)
        marks = ", ".join("?" * (len(kept) + 1))
        self._database.executemany(
            f"INSERT INTO {table} (run, {names}) VALUES ({marks})",
            [(self._run, *(getattr(row, name) for name in kept)) for row in rows],
        )

    def _numbers(self, files: Sequence[FileRow]) -> None:
        numbers = [
            (self._run, row.file, *one) for row in files for one in file_numbers.rows(row.numbers)
        ]
        self._database.executemany("INSERT INTO numbers VALUES (?, ?, ?, ?, ?, ?)", numbers)

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(rows[0]))
        self._database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def _steps(failed: bool, night: int) -> Iterator[StepRow]:
    for number in range(STEPS):
        bad = failed and number == STEPS - 1
        outcome = "failed" if bad else "done" if night % 7 < 5 else "hit"
        log = LOG if bad else ""
        key = f"{number:064}"
        yield StepRow(key, "quantize", f"step {number}", outcome, 3.2, 10**9, int(bad), "", log)


def _files(chance: random.Random, name: str, commit: int) -> Iterator[FileRow]:
    for number, (kind, bits) in enumerate(TYPES):
        full = kind == "F16"
        moved = commit // 20 * 0.0007 * number
        speed = 60 / (1 + number) * chance.gauss(1, 0.03)
        yield FileRow(
            file=f"{name}-{kind}.gguf",
            type=kind,
            sha256=sha256(f"{name} {kind} {commit // 20}".encode()).hexdigest(),
            status="pass",
            verdict="identical",
            fresh=True,
            numbers={
                "header": {"size": int(7e9 * bits / 8), "bits_per_weight": bits},
                "perplexity": {"value": round(5.79 + number * 0.05 + moved, 4), "error": 0.03}
                | ({} if full else {"increase": number * 0.01}),
                "kld": {}
                if full
                else {"mean": round(0.001 * 3**number + moved, 6), "same_top": 0.97},
                "speed": {
                    "prompt_per_second": round(speed * 8, 2),
                    "generation_per_second": round(speed, 2),
                },
                "memory": {"peak": 4 * 10**9},
            },
        )


def fill(history: History, recipes: int, first: int, last: int) -> None:
    """Write the nights from ``first`` to ``last``."""
    history.end_night(0, "ok", {})  # makes the tables
    with closing(sqlite3.connect(history.path)) as database, database:
        last_run = database.execute("SELECT COALESCE(MAX(id), 0) FROM runs").fetchone()[0]
        writer = Writer(database, int(last_run))
        told = json.dumps({"processor": "a processor", "cores": 16})
        rows = [(machine, told) for machine in MACHINES]
        database.executemany("INSERT OR IGNORE INTO machines VALUES (?, ?)", rows)
        for night in range(first, last + 1):
            writer.night(night, recipes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", type=int, default=100)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--keep", type=Path, help="a folder to leave the site in")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        fill(history, asked.recipes, 1, asked.nights)
        print(f"history: {units.size(history.path.stat().st_size)}")
        target = asked.keep or Path(folder) / "site"
        for what in ("new", "unchanged", "one night more"):
            if what == "one night more":
                fill(history, asked.recipes, asked.nights + 1, asked.nights + 1)
            start = time.perf_counter()
            done = site.write(history, target)
            seconds = time.perf_counter() - start
            counts = f"{len(done.written)} written, {done.unchanged} unchanged"
            print(f"{what}: {seconds:.1f} s, {units.size(done.bytes)}, {counts}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory: {units.size(peak)}")


if __name__ == "__main__":
    main()
