"""Kills and signals at any moment of every command, one try after the other."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from random import Random

from tests.support.campaigns import commands
from tests.support.campaigns.after_every_try import Place, after_every_try
from tests.support.campaigns.report import Report
from tests.support.typed_commands import Running
from tests.support.warm_store import Finished

_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FIRST_GUESS = 2.0  # seconds that a command takes, until it is known


def round_of(
    work: Path, *, seed: int, seconds: float, least: int = 1, finished: Finished | None = None
) -> Report:
    """Tries until the time is over, and at least so many.

    Args:
        work: An empty folder.
        seed: Of the first try; each has the next one, and commands take turns. The moment
            of a kill is by chance too, and how far a command then is depends on the machine.
        seconds: How long.
        least: How many tries there are in any case.
        finished: The tiny llama's run; made when it is not given.
    """
    report, takes = Report(), dict.fromkeys(commands.COMMANDS, _FIRST_GUESS)
    finished = finished or commands.finished_in(work / "finished")
    end = time.monotonic() + seconds
    while report.tries < least or time.monotonic() < end:
        _try(work / f"try {seed}", seed, finished, takes, report)
        seed += 1
    return report


def _try(
    root: Path, seed: int, finished: Finished, takes: dict[str, float], report: Report
) -> None:
    name, chance = list(takes)[seed % len(takes)], Random(seed)
    place, command = Place(root, root), commands.COMMANDS[name]
    with commands.laid_out(place, finished):
        command.prepare(place, chance)
        number, code, text = _ended(
            Running(*command.words(place), home=place.store), chance, takes[name]
        )
        faults = _unlike(number, code, text)
        faults += after_every_try(place, tidy=code >= 0)
        began = time.monotonic()
        faults += commands.whole_again(name, place, chance)
        takes[name] = time.monotonic() - began
        faults += after_every_try(place, tidy=True)
    report.counts[name, number.name if code in (130, -number) else "done"] += 1
    report.faults += [f"seed {seed}: {name}: {number.name}: {one}" for one in faults]
    shutil.rmtree(root)


def _ended(running: Running, chance: Random, takes: float) -> tuple[signal.Signals, int, str]:
    """Let a command work for a while, and end it: by which signal, its exit code and its words."""
    number = chance.choice(_SIGNALS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.process.wait(chance.uniform(0, 1.1 * takes))
    with contextlib.suppress(ProcessLookupError):
        # A terminal signals all of its processes, a service manager mostly one.
        together = number is not signal.SIGKILL and chance.random() < 0.5
        (os.killpg if together else os.kill)(running.process.pid, number)
    return number, running.ended(), running.text


def _unlike(number: signal.Signals, code: int, text: str) -> list[str]:
    """What a command that was ended should not have said or ended with."""
    early = code == -number and not any(mark in text for mark in "…✓")
    wrong = [] if code in (0, 130, -signal.SIGKILL) or early else [f"exit {code}: {text[-600:]}"]
    if not early and ("Traceback" in text or "bug:" in text):
        wrong.append(f"it said {text[-600:]}")
    return wrong
