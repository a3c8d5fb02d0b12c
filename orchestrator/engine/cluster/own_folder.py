"""Temporary folders of a process, of which a killed one leaves nothing for long."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.base import machine_info


@contextmanager
def temporary(kind: str) -> Iterator[Path]:
    """A folder for as long as this process needs it; those of its kind that are left go first."""
    start = f"orchestrate-{kind}-"
    for left in Path(tempfile.gettempdir()).glob(f"{start}*-*"):
        if not machine_info.process_runs(left.name.removeprefix(start).rpartition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)  # it may be another user's
    with tempfile.TemporaryDirectory(prefix=f"{start}{machine_info.process_id()}-") as name:
        yield Path(name)
