"""Tries in a process of its own, which may be ended or run out of memory without harm.

A child makes one try after the other and says so; its parent counts, and starts another child
where one was ended. The limits of a try are of processor time and of new memory, so that a busy
machine finds no faults.
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.campaigns import archives, fuzzing, texts
from tests.support.campaigns.report import Report
from tests.support.typed_commands import ROOT

PATIENCE = 300.0  # seconds until a child that says nothing is ended

Attempt = Callable[[int, Path], tuple[str, str, str]]
# One try by its seed: what was tried, how it ended, and what should not have been.
ATTEMPTS: Mapping[str, Attempt] = {
    "archives": archives.attempt,
    "fuzz": fuzzing.attempt,
    "texts": texts.attempt,
}


def round_of(name: str, work: Path, *, seed: int, seconds: float, least: int = 1) -> Report:
    """Tries until the time is over, and at least so many.

    Args:
        name: One of ATTEMPTS.
        work: An empty folder.
        seed: Of the first try; each has the next one.
        seconds: How long.
        least: How many tries there are in any case.
    """
    found, end = Report(), time.monotonic() + seconds
    while found.tries < least or time.monotonic() < end:
        first = seed + found.tries
        words = (name, work, first, max(0.0, end - time.monotonic()), least - found.tries)
        for number, (what, kind, fault) in enumerate(_answers(list(map(str, words))), first):
            found.counts[what, kind] += 1
            found.faults += [f"seed {number}: {what}: {fault}"] if fault else []
    return found


def _answers(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """What became of each try of one child; the last may be that the child was ended."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield from map(json.loads, _lines(process))
    if process.returncode:
        ended = process.returncode
        why = signal.Signals(-ended).name if ended < 0 else f"exit {ended}"
        yield words[0], "ended", f"it was ended: {why}"


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    assert process.stdout is not None
    while select.select([process.stdout], [], [], PATIENCE)[0]:
        line = process.stdout.readline()
        if not line:
            return
        yield line
    process.kill()


def main(words: Sequence[str]) -> None:
    """Try seeds one after the other, and print a line for each."""
    attempt, work = ATTEMPTS[words[0]], Path(words[1])
    seed, end, least = int(words[2]), time.monotonic() + float(words[3]), int(words[4])
    while least > 0 or time.monotonic() < end:
        try:
            told = attempt(seed, work)
        except Exception as error:
            told = (words[0], "bug", f"{type(error).__name__}: {str(error)[:2000]}")
        print(json.dumps(told), flush=True)
        seed, least = seed + 1, least - 1


if __name__ == "__main__":
    main(sys.argv[1:])
