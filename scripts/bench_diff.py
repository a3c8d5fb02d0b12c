"""Measure `orchestrate diff` on two equal files against `cmp`.

Makes a GGUF file of random tensors and a copy of it below ``--folder`` (removed at the end)
and runs ``cmp`` and ``orchestrate diff`` on them in turn, ``--rounds`` times, each in a
process of its own, the order changing from round to round. In the condition "cache" both
files stay in the page cache; in "disk" they are dropped from it before every run, as far as
the system follows posix_fadvise. Linux only.

Prints the medians of wall and CPU time, and two ratios: that of the
median wall times, and the median of the rounds' ratios, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAIN = "from orchestrator.cli import main; main()"
COLUMNS = 4096
BLOCK, BLOCK_BYTES, TYPE = 32, 34, 8  # Q8_0
# Of Llama 3's size, since strings are the slowest part of a header.
VOCABULARY = {"tokenizer.ggml.tokens": 128_256, "tokenizer.ggml.merges": 280_147}
CONDITIONS = ("cache", "disk")


@dataclass(frozen=True)
class Measured:
    """Seconds of one run."""

    wall: float
    cpu: float


def text(value: str) -> bytes:
    """A string as GGUF stores it."""
    return struct.pack("<Q", len(value)) + value.encode()


def write_model(path: Path, size: int, tensors: int) -> None:
    """A GGUF file of about ``size`` bytes in ``tensors`` equal tensors of random bytes."""
    row = COLUMNS // BLOCK * BLOCK_BYTES
    rows = size // tensors // row
    header = b"GGUF" + struct.pack("<IQQ", 3, tensors, 1 + len(VOCABULARY))
    header += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    for key, count in VOCABULARY.items():
        header += text(key) + struct.pack("<IIQ", 9, 8, count)
        header += b"".join(text(f"word{index}") for index in range(count))
    for index in range(tensors):
        header += text(f"blk.{index}.weight") + struct.pack("<IQQ", 2, COLUMNS, rows)
        header += struct.pack("<IQ", TYPE, index * rows * row)
    with path.open("wb") as file:
        file.write(header + b"\0" * (-len(header) % 32))
        for _ in range(tensors):
            write_random(file.fileno(), rows * row)


def write_random(handle: int, count: int) -> None:
    """Write ``count`` random bytes."""
    while count:
        count -= os.write(handle, os.urandom(min(count, 2**22)))


def drop(path: Path) -> None:
    """Take the file out of the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(command: list[str], files: tuple[Path, Path], condition: str) -> Measured:
    """One run, which must say that the files are equal."""
    for path in files if condition == "disk" else ():
        drop(path)
    started = time.perf_counter()
    process = subprocess.Popen([*command, *map(str, files)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode} on equal files")
    return Measured(wall, used.ru_utime + used.ru_stime)


def measure(files: tuple[Path, Path], condition: str, rounds: int) -> dict[str, list[Measured]]:
    """Both commands in turn; the first round only warms up and is left out."""
    commands = {"cmp": ["cmp"], "diff": [sys.executable, "-c", MAIN, "diff"]}
    found: dict[str, list[Measured]] = {name: [] for name in commands}
    for at in range(rounds + 1):
        for name in list(commands)[:: 1 if at % 2 else -1]:
            one = run(commands[name], files, condition)
            if at:
                found[name].append(one)
    return found


def table(found: dict[str, list[Measured]]) -> Iterator[str]:
    """The medians and their ratios."""
    medians = {
        name: [statistics.median(getattr(one, key) for one in runs) for key in ("wall", "cpu")]
        for name, runs in found.items()
    }
    for name, (wall, cpu) in medians.items():
        yield f"  {name:5} {wall:7.3f} s wall  {cpu:7.3f} s CPU"
    wall, cpu = (a / b for a, b in zip(medians["diff"], medians["cmp"], strict=True))
    pairs = zip(found["diff"], found["cmp"], strict=True)
    per_round = statistics.median(a.wall / b.wall for a, b in pairs)
    yield f"  ratio of median wall times {wall:.2f}, of CPU times {cpu:.2f}"
    yield f"  median of the rounds' ratios of wall times {per_round:.2f}"


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder that is removed again."""
    folder = Path(tempfile.mkdtemp(prefix="bench-diff-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Parse, make the files, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--size", type=float, default=2.0, help="GB of each file")
    parser.add_argument("--tensors", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--condition", choices=CONDITIONS, default="cache")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with scratch(options.folder) as folder:
        a, b = folder / "a.gguf", folder / "b.gguf"
        write_model(a, int(options.size * 10**9), options.tensors)
        shutil.copyfile(a, b)
        found = measure((a, b), options.condition, options.rounds)
        size = a.stat().st_size / 10**9
    print(f"Two equal files of {size:.2f} GB, {options.condition}, {options.rounds} rounds")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
