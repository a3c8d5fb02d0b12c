"""The user's own store, where tool chains are built once, lent to tests that use the real tools."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.step_values import Step
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Runner, Settings
from orchestrator.planning import recipe_to_steps
from orchestrator.runs import session
from orchestrator.toolchain.load import load
from tests.support.typed_commands import Said

# Read before any test gets a home of its own.
CACHE = Store.default_root()


def ready(
    name: str, *, programs: Collection[str] = (), options: Collection[str] = ()
) -> dict[str, Path]:
    """Artifact folders of a built tool chain by step kind; builds it when it is not there.

    ``options`` are those of its converter that need packages of their own.
    """
    store = Store(CACHE, print)
    chosen, chain = session.choices(), load(name).with_packages(options)
    steps = recipe_to_steps.toolchain_steps(chain, chosen, programs=programs)
    missing = [step.key for step in steps if store.find(step.key) is None]
    if missing:
        runner = Runner(store, Settings(threads=os.cpu_count() or 1), Plain(io.StringIO()))
        results = runner.run(steps, missing)
        problems = [result.error for result in results if result.error]
        assert not problems, problems
    return {step.kind: _folder(store, step) for step in steps}


def _folder(store: Store, step: Step) -> Path:
    found = store.find(step.key)
    assert found is not None
    return found.path


def link(root: Path, name: str, **needed: Collection[str]) -> None:
    """Put a built tool chain into the store at ``root``; as :func:`ready`."""
    for folder in ready(name, **needed).values():
        _link(root, folder.parent)


def link_steps(root: Path, store: Store, steps: Iterable[Step]) -> None:
    """Put what steps have made in another store into the one at ``root``."""
    for step in steps:
        _link(root, _folder(store, step).parent)


def _link(root: Path, artifact: Path) -> None:
    place = root / "artifacts" / artifact.name[:2] / artifact.name
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(artifact, target_is_directory=True)


@dataclass(frozen=True)
class Finished:
    """What the tiny llama's recipe left: its store, its files, what the run said."""

    home: Path
    out: Path
    said: Said
