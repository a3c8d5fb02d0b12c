"""Files that are there whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """A path beside ``target`` that takes its place when the context ends well, or goes.

    Its name is ``.NAME.PID.part``: of this process alone, and known to whoever sweeps.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def put(target: Path, data: bytes) -> bool:
    """Replace a small file, unless it holds this already; whether it was written.

    Raises:
        OSError: It cannot be read or written; then the old file is as it was.
    """
    try:
        if target.stat().st_size == len(data) and target.read_bytes() == data:
            return False
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
    with part_of(target) as part:
        part.write_bytes(data)
    return True
