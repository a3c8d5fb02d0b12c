"""Full disks of many sizes under commands that write, one try after the other."""

from __future__ import annotations

import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.support.campaigns import commands
from tests.support.campaigns.after_every_try import Place, after_every_try
from tests.support.campaigns.report import Report
from tests.support.typed_commands import Running
from tests.support.warm_store import Finished

_WRITERS = ("run", "publish to a folder", "nightly", "site", "lock", "new", "run with a merge")
_ROOM = 16 << 20  # bytes; the runs of the tiny llama need less
_LARGE = 512 << 20


def may_mount(work: Path) -> bool:
    """Whether this process may make file systems."""
    work.mkdir(parents=True, exist_ok=True)
    if _mounted(work, _LARGE, "size"):
        subprocess.run(["umount", "-l", str(work)], check=True)
        return True
    return False


def round_of(
    work: Path, *, seed: int, seconds: float, least: int = 1, finished: Finished | None = None
) -> Report:
    """Tries until the time is over, and at least so many.

    Where no file system can be mounted, files have a largest size instead.

    Args:
        work: An empty folder.
        seed: Of the first try; each has the next one, and commands take turns.
        seconds: How long.
        least: How many tries there are in any case.
        finished: The tiny llama's run; made when it is not given.
    """
    report = Report()
    finished = finished or commands.finished_in(work / "finished")
    mounts = may_mount(work / "mount")
    end = time.monotonic() + seconds
    while report.tries < least or time.monotonic() < end:
        _try(work / f"try {seed}", seed, finished, mounts, report)
        seed += 1
    return report


def _try(root: Path, seed: int, finished: Finished, mounts: bool, report: Report) -> None:
    name, chance = _WRITERS[seed % len(_WRITERS)], Random(seed)
    place, command = Place(root, root / "disk"), commands.COMMANDS[name]
    place.disk.mkdir(parents=True)
    room = int(_ROOM * chance.random() ** 3)
    with _disk(place.disk) if mounts else _no_disk(), commands.laid_out(place, finished):
        command.prepare(place, chance)
        limited = _file_limit(room) if not mounts or chance.random() < 0.2 else None
        if mounts and limited is None:
            _resize(place.disk, _used(place.disk) + room)
        running = Running(*command.words(place), home=place.store, preexec_fn=limited)
        code = running.ended()
        if mounts:
            _resize(place.disk, _LARGE)
        faults = [] if _told(code, running.text) else [f"exit {code}: {running.text[-600:]}"]
        faults += after_every_try(place, tidy=True)
        faults += commands.whole_again(name, place, chance)
        faults += after_every_try(place, tidy=True)
    report.counts[name, "done" if code == 0 else f"exit {code}"] += 1
    where = f"file of {room}" if limited else f"disk with {room} bytes of room"
    report.faults += [f"seed {seed}: {name}: {where}: {one}" for one in faults]
    shutil.rmtree(root)


def _told(code: int, text: str) -> bool:
    """Whether a command did its work, or said in a sentence that the machine is the reason."""
    clean = "Traceback" not in text and "bug:" not in text
    said = "error: " in text or "**environment**" in text  # the latter in the report of a night
    return clean and (code == 0 or (code == 3 and said))


def _file_limit(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    """A file system of its own."""
    assert _mounted(place, _LARGE, "size")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def _no_disk() -> Iterator[None]:
    yield


def _resize(place: Path, size: int) -> None:
    assert _mounted(place, size, "remount,size")


def _mounted(place: Path, size: int, option: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", f"{option}={size}", "none", str(place)]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def _used(place: Path) -> int:
    """Bytes that the file system has given away."""
    found = shutil.disk_usage(place)
    return found.used
