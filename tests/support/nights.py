"""What tests of whole nights share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.engine.artifact_store import Artifact, Store
from orchestrator.history import History

Night = Callable[..., tuple[int, dict[str, Any]]]


def recorded_history() -> History:
    return History(Path(os.environ["ORCHESTRATE_HOME"]))


def add(folder: Path, name: str, before: str, after: str) -> None:
    text = (folder / "one.yaml").read_text()
    assert before in text
    (folder / f"{name}.yaml").write_text(
        text.replace("name: one", f"name: {name}").replace(before, after)
    )


def artifacts() -> list[Artifact]:
    """All that is stored."""
    return list(Store(Store.default_root(), print).artifacts())


def forget(*labels: str) -> None:
    """Take artifacts out of the store by the beginnings of their labels."""
    store = Store(Store.default_root(), print)
    for artifact in artifacts():
        if artifact.label.startswith(labels):
            store.release(artifact.key)
