"""What the tests of the store share: steps, artifacts, and a look at the folders."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from orchestrator.base.step_values import JSON, Step
from orchestrator.engine.artifact import Artifact
from orchestrator.engine.artifact_store import Store

KEY = "0123456789abcdef" * 4
OTHER = "f" * 64


def a_step(key: str = KEY) -> Step:
    return Step("kind", f"make {key[:4]}", key, {"type": "Q4_0"}, {"model": OTHER})


def open_store(root: Path) -> Store:
    """A store that says its warnings on standard error, for processes of their own."""
    return Store(root, lambda text: print(text, file=sys.stderr))


def put(
    store: Store,
    files: Mapping[str, bytes],
    key: str = KEY,
    facts: Mapping[str, JSON] | None = None,
    hash_files: bool = True,
) -> Artifact:
    with store.lock(key), store.stage(key) as stage:
        for name, data in files.items():
            path = stage.workdir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return store.commit(stage, a_step(key), facts or {}, 1.5, 7, hash_files=hash_files)


def left_in(store: Store, folder: str) -> list[str]:
    return sorted(path.name for path in (store.root / folder).glob("*"))
