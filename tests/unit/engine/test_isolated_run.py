"""The empty store in which files are made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import Interrupted, StepError
from orchestrator.engine import isolated_run
from orchestrator.engine.artifact_store import Store


def fill(folder: Path) -> None:
    """What making files in it leaves: an artifact and a log."""
    for name, text in (("logs/one.log", "said"), ("artifacts/file", "bytes")):
        path = folder / "first" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)


def broken(root: Path, error: Exception) -> None:
    """Make files again, and meet an error."""
    with isolated_run.temporary_folder(Store(root, print)) as folder:
        fill(folder)
        raise error


@pytest.mark.parametrize(
    ("error", "left"), [(Interrupted("interrupted"), []), (StepError("it broke"), ["one.log"])]
)
def test_of_a_failure_the_logs_stay_and_of_an_interrupt_nothing(
    tmp_path: Path, error: Exception, left: list[str]
) -> None:
    with pytest.raises(type(error)):
        broken(tmp_path, error)

    there = tmp_path / "reproduce"
    assert [path.name for path in there.rglob("*") if path.is_file()] == left
    assert bool(left) == any(there.iterdir())
