"""Full disks: how they are recognised, and the one sentence about them."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.base.errors import EnvironmentProblem

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
# strerror(3) of these, and numpy's tofile (convert.c), which leaves the reason out; many C++
# programs say no more than "iostream error".
FULL_WORDS = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|\d+ requested and \d+ written"
)
# Less than this is as good as nothing: no tool of ours writes so little.
LEAST_BYTES = 1 << 20


class DiskFull(EnvironmentProblem):
    """There was no room for what had to be written."""

    def __init__(
        self, message: str, hint: str = "", tail: str = "", log: Path | None = None
    ) -> None:
        super().__init__(message, hint)
        self.tail = tail
        self.log = log


def disk_full(
    where: Path, needed: int = 0, what: str = "", tail: str = "", log: Path | None = None
) -> DiskFull:
    """Return the error for a full disk.

    Args:
        where: A path on that disk; it need not exist.
        needed: How many bytes the work writes in all; 0 if not known.
        what: Who was writing.
        tail: The end of its output.
        log: Where its whole output is.
    """
    subject = f"{what} failed: the disk" if what else "the disk"
    demand = f"{human(needed)} needed, " if needed else ""
    return DiskFull(
        f"{subject} is full at {where} ({demand}{human(free_bytes(where))} free)",
        "free some space or lift the quota, keep less with --keep final, "
        "or set ORCHESTRATE_HOME to a folder on another disk",
        tail,
        log,
    )


def says_full(text: str) -> bool:
    """Tell whether a program's output names a full disk."""
    return FULL_WORDS.search(text) is not None


def is_short(where: Path, missing: int) -> bool:
    """Tell whether ``missing`` more bytes, or any at all, do not fit."""
    return free_bytes(where) < max(missing, LEAST_BYTES)


def free_bytes(where: Path) -> int:
    """Return the bytes a user may still write at a path that need not exist yet."""
    there = where
    while not there.exists() and there != there.parent:
        there = there.parent
    return shutil.disk_usage(there).free


@contextmanager
def translated(where: Path, what: str = "", needed: int = 0) -> Iterator[None]:
    """Turn an OSError that means a full disk into :class:`DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_ERRNOS:
            raise
        raise disk_full(where, needed, what) from error


def human(count: int) -> str:
    """Return a number of bytes as people write it: ``4.2 GiB``."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
