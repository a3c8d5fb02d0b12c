"""A history as forty nights would leave it: an upstream change, a failure, two machines."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from orchestrator.history import Alarm, Ended, FileRow, History, StepRow
from tests.support.history_records import with_numbers

SOURCE = "https://github.com/ggml-org/llama.cpp"
BEGIN = datetime(2026, 10, 18, 2, 0, tzinfo=timezone.utc)
# Type, bits per weight, share by which its perplexity is higher, divergence, relative speed.
TYPES = (
    ("Q2_K", 3.35, 0.098, 0.1121, 1.25),
    ("Q3_K_M", 3.91, 0.0312, 0.0412, 1.12),
    ("Q4_0", 4.66, 0.0281, 0.0338, 1.31),
    ("IQ4_XS", 4.32, 0.0142, 0.0165, 0.98),
    ("Q4_K_M", 4.89, 0.0098, 0.0121, 1.15),
    ("Q5_K_M", 5.70, 0.0031, 0.0039, 1.0),
    ("Q8_0", 8.50, 0.0002, 0.0004, 0.82),
)
MODELS = {
    "bloomz-7b1": (7.07e9, 11.9),
    "chatglm3-6b": (6.24e9, 24.1),
    "falcon-7b-instruct": (7.22e9, 7.61),
    "llama-2-7b-chat": (6.74e9, 7.18),
    "phoenix-inst-chat-7b": (7.07e9, 12.4),
    "smollm2-135m": (1.35e8, 17.3),
}
MACHINES = {
    "a1b2c3d4e5f6": {"processor": "AMD EPYC 7763", "cores": 16, "system": "Linux"},
    "0f9e8d7c6b5a": {"processor": "Intel Xeon Gold 6338", "cores": 32, "system": "Linux"},
}
LOG = """[ 12%] Building CXX object ggml/src/CMakeFiles/ggml-base.dir/ggml-quants.c.o
ggml/src/ggml-quants.c:3127:24: error: 'kvalues_iq4nl' undeclared (first use in this function)
 3127 |     const int8_t * v = kvalues_iq4nl;
      |                        ^~~~~~~~~~~~~
ninja: build stopped: subcommand failed.
"""


@dataclass(frozen=True)
class Plot:
    """What happens, by night: breaks in the build, changed bytes, a worse perplexity."""

    nights: int = 40
    broken: tuple[int, ...] = (17, 18)
    changed: int = 26
    worse: int = 38


def commit(night: int) -> str:
    """Upstream's commit of a night; at weekends nobody commits."""
    weekday = (BEGIN + timedelta(days=night)).weekday()
    return sha256(f"commit {night - max(0, weekday - 4)}".encode()).hexdigest()[:40]


def fill(history: History, plot: Plot = Plot()) -> None:
    """Write all nights."""
    chance = random.Random(5)
    for night in range(plot.nights):
        number = history.begin_night({"paths": ["recipes"], "rebuild": night % 7 == 0})
        for name in MODELS:
            _run(history, chance, plot, night, number, name)
        alarmed = night in (plot.changed, plot.worse)
        state = "failed" if night in plot.broken else "alarm" if alarmed else "ok"
        history.end_night(number, state, _summary(plot, night))
    _date(history, plot)


def _summary(plot: Plot, night: int) -> dict[str, Any]:
    last = night == plot.nights - 1
    recipes = [
        {
            "recipe": name,
            "file": f"recipes/{name}.yaml",
            "notes": ["its second make differed in speed only"] if name == "smollm2-135m" else [],
            "left": ["convert", "quantize"] if last and name == "phoenix-inst-chat-7b" else [],
        }
        for name in MODELS
    ]
    return {"notes": [], "store_bytes": 187_000_000_000, "collected": 3, "recipes": recipes}


def _run(
    history: History, chance: random.Random, plot: Plot, night: int, number: int, name: str
) -> None:
    run = history.begin_run(
        name,
        Path("recipes") / f"{name}.yaml",
        "d" * 64,
        night=number,
        toolchain="llama.cpp",
        commit=commit(night),
        source=SOURCE,
    )
    history.end_run(run, _ended(chance, plot, night, name))


def _ended(chance: random.Random, plot: Plot, night: int, name: str) -> Ended:
    if night in plot.broken and name != "smollm2-135m":
        broken = _step("build llama.cpp", "failed", exit=1, error="ninja ended with 1", log=LOG)
        return Ended("failed", "build llama.cpp: ninja ended with 1", (broken,))
    if night == 31 and name == "falcon-7b-instruct":
        return Ended("environment", "the Hub cannot be reached: timed out after 30 s")
    if night == plot.nights - 1 and name == "phoenix-inst-chat-7b":
        return Ended("left", "the time was up; 9 steps were not begun")
    files = tuple(_file(chance, plot, night, name, *one) for one in ALL_TYPES)
    alarms = tuple(_alarms(plot, night, name, files))
    new = night == 0 or commit(night) != commit(night - 1)
    steps = tuple(_step(f"quantize {name} to {f.type}", "done" if new else "hit") for f in files)
    warns = name == "chatglm3-6b" and night > 10
    state = "alarm" if alarms else "warning" if warns else "ok"
    return Ended(state, "", steps, files, alarms, report(name, files))


ALL_TYPES = (("F16", 16.0, 0.0, 0.0, 0.55), *TYPES)


def _file(
    chance: random.Random, plot: Plot, night: int, name: str, kind: str, *told: float
) -> FileRow:
    bits, increase, divergence, fast = told
    weights, perplexity = MODELS[name]
    others = plot.changed <= night and kind == "Q4_0"
    if night >= plot.worse and name == "llama-2-7b-chat" and kind == "Q2_K":
        increase *= 1.6
    if others:
        divergence, increase = divergence * 0.93, increase * 0.95
    slower = 0.8 if MACHINE_OF(night) != next(iter(MACHINES)) else 1.0
    speed = 3.2e11 / weights * fast * slower * chance.gauss(1, 0.02)
    digest = sha256(f"{name} {kind} {others}".encode()).hexdigest()
    full = kind == "F16"
    verdict = "near" if others and night == plot.changed else "identical"
    return with_numbers(
        FileRow(
            file=f"{name}-{kind}.gguf",
            type=kind,
            sha256=digest,
            status="warn" if name == "chatglm3-6b" and night > 10 and kind == "Q2_K" else "pass",
            verdict=verdict if night else "",
            fresh=True,
            against=_before(plot, night, name),
            note="tensor blk.0.attn_q.weight: 412 of 8388608 values differ"
            if verdict == "near"
            else "",
        ),
        size=int(weights * bits / 8) + 1_200_000,
        bits_per_weight=bits,
        perplexity=round(perplexity * (1 + increase), 4),
        perplexity_error=round(perplexity * 0.004, 4),
        increase=None if full else increase,
        kld=None if full else divergence,
        same_top=None if full else 1 - divergence * 1.3,
        prompt_per_second=round(speed * 9, 2),
        generation_per_second=round(speed, 2),
        memory=int(weights * bits / 8 * 1.1),
    )


def _before(plot: Plot, night: int, name: str) -> int:
    """The run of the last night that was not broken; 0 in the first one."""
    good = next((one for one in range(night - 1, -1, -1) if one not in plot.broken), -1)
    return 0 if good < 0 else good * len(MODELS) + list(MODELS).index(name) + 1


def _alarms(plot: Plot, night: int, name: str, files: tuple[FileRow, ...]) -> list[Alarm]:
    found = []
    for row in files:
        if night == plot.changed and row.type == "Q4_0":
            text = "the bytes are near, but not those of the night before"
            found.append(Alarm(row.file, "bytes", text, "ab" * 32, row.sha256, "identical"))
        if night == plot.worse and name == "llama-2-7b-chat" and row.type == "Q2_K":
            text = "the perplexity went from 7.8836 to 8.3058 (+5.36 %)"
            found.append(Alarm(row.file, "perplexity", text, "7.8836", "8.3058", "1 %"))
    return found


def _step(label: str, outcome: str, **changes: Any) -> StepRow:
    values: dict[str, Any] = {"key": "c" * 64, "kind": "quantize", "seconds": 41.0}
    values |= {"peak_memory": 10**9, "exit": 0}
    return StepRow(label=label, outcome=outcome, **{**values, **changes})


def report(name: str, files: tuple[FileRow, ...]) -> dict[str, Any]:
    """What report.as_json would give, without steps."""
    good = {"name": "structure", "status": "pass", "message": "291 tensors", "numbers": {}}
    bad = {**good, "name": "perplexity", "status": "warn", "message": "9.8 % above F16"}
    return {
        "format": 1,
        "name": name,
        "description": f"{name}, quantized for llama.cpp",
        "status": "pass",
        "pins": {
            "tool chain": "llama.cpp",
            "recipe": f"{name}.yaml (SHA-256 {'d' * 64})",
            name: "org/model at 8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16",
        },
        "files": [
            {
                **row.as_json(),
                "file": "F16, for comparison" if row.type == "F16" else row.file,
                "checks": [good] if row.status == "pass" else [good, bad],
            }
            for row in files
        ],
        "steps": [
            {
                "key": "c" * 64,
                "label": f"convert {name} to F16",
                "seconds": 271.0,
                "calls": [{"argv": ["python", "convert_hf_to_gguf.py", "--outtype", "f16"]}],
            }
        ],
        "notes": ["The model was named by 'main', which can move; it was resolved for this run."],
    }


def MACHINE_OF(night: int) -> str:  # noqa: N802 - one of MACHINES
    """The machine of a night: every third is on the other one."""
    return list(MACHINES)[1 if night % 3 == 2 else 0]


def _date(history: History, plot: Plot) -> None:
    """Give rows the times and machines that they would have."""
    with closing(sqlite3.connect(history.path)) as database, database:
        for name, told in MACHINES.items():
            database.execute(
                "INSERT INTO machines VALUES (?, json(?))", (name, str(told).replace("'", '"'))
            )
        database.execute("CREATE INDEX runs_then ON runs (night)")
        for night in range(plot.nights):
            begin = BEGIN + timedelta(days=night)
            ended = begin + timedelta(minutes=47)
            times = (begin.isoformat(), ended.isoformat(), MACHINE_OF(night), night + 1)
            for table, column in (("nights", "id"), ("runs", "night")):
                database.execute(
                    f"UPDATE {table} SET started = ?, ended = ?, machine = ? WHERE {column} = ?",
                    times,
                )
        database.execute("DELETE FROM machines WHERE id NOT IN (SELECT machine FROM nights)")
