"""Full disks: how they are recognised, and the one sentence about them."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.base import machine_info, units
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
    demand = f"{units.size(needed)} needed, " if needed else ""
    free = units.size(machine_info.disk_free(where))
    return DiskFull(
        f"{subject} is full at {where} ({demand}{free} free)",
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
    return machine_info.disk_free(where) < max(missing, LEAST_BYTES)


@contextmanager
def translated(where: Path, what: str = "", needed: int = 0) -> Iterator[None]:
    """Turn an OSError that means a full disk into :class:`DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_ERRNOS:
            raise
        raise disk_full(where, needed, what) from error
