"""What tests of whole nights share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.history import History
from orchestrator.records import JSON, Task
from orchestrator.store import Artifact, Store
from tests.unit.fake_work import written

Night = Callable[..., tuple[int, dict[str, Any]]]


def past() -> History:
    return History(Path(os.environ["ORCHESTRATE_HOME"]))


def add(folder: Path, name: str, before: str, after: str) -> None:
    text = (folder / "one.yaml").read_text()
    assert before in text
    (folder / f"{name}.yaml").write_text(
        text.replace("name: one", f"name: {name}").replace(before, after)
    )


def fails_for(name: str, error: Exception) -> Callable[[Task], dict[str, JSON]]:
    def work(task: Task) -> dict[str, JSON]:
        if f"quantize {name} to Q4_0" in task.step.label:
            raise error
        return written(task)

    return work


def artifacts() -> list[Artifact]:
    """All that is stored."""
    return list(Store(Store.default_root(), print).artifacts())


def forget(*labels: str) -> None:
    """Take artifacts out of the store by the beginnings of their labels."""
    store = Store(Store.default_root(), print)
    for artifact in artifacts():
        if artifact.label.startswith(labels):
            store.release(artifact.key)
