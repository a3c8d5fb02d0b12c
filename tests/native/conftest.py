"""Real tool chains for the tests, built once per machine and shared by all runs.

The tests have stores of their own; only finished builds and environments come from the
user's cache, so a test can break whatever it likes.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.base.step_values import Step
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Runner, Settings
from orchestrator.planning import recipe_to_steps
from orchestrator.runs import session
from tests.native.typed import TINY, Said, artifacts, typed

# Read before any test gets a home of its own.
CACHE = Store.default_root()

Tools = Mapping[str, Path]


def ready(name: str) -> dict[str, Path]:
    """Artifact folders of a built tool chain by step kind; builds it when it is not there."""
    store = Store(CACHE, print)
    steps = recipe_to_steps.toolchain_steps(name, session.choices())
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


@pytest.fixture(scope="session")
def toolchain_inputs() -> Tools:
    """llama.cpp as steps get it: its build and its Python environment."""
    found = ready("llama.cpp")
    return {"toolchain": found["build"], "environment": found["environment"]}


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's files, and tools do not fight for cores."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("ORCHESTRATE_HOME", str(home / "store"))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hf" / "hub"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


def link(root: Path, name: str) -> None:
    """Put a built tool chain into the store at ``root``."""
    for folder in ready(name).values():
        artifact = folder.parent
        place = root / "artifacts" / artifact.name[:2] / artifact.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(artifact, target_is_directory=True)


@pytest.fixture
def store_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a store of the test's own that has the named tool chains in it already."""

    def make(*names: str) -> Path:
        root = tmp_path / "store"
        for name in names:
            link(root, name)
        monkeypatch.setenv("ORCHESTRATE_HOME", str(root))
        return root

    return make


@dataclass(frozen=True)
class Finished:
    """What the tiny llama's recipe left: its store, its files, what the run said."""

    home: Path
    out: Path
    said: Said


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tiny llama's recipe, run once; for reading, tests that write take a copy."""
    place = tmp_path_factory.mktemp("finished")
    link(place / "store", "llama.cpp")
    said = typed("run", TINY, "--out", place / "dist", "-t", "1", home=place / "store")
    assert said.code == 0, said.all
    return Finished(place / "store", place / "dist" / "tiny-llama", said)


@pytest.fixture
def without(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Copy the finished store, and leave out what steps of these kinds made."""

    def make(*kinds: str) -> Path:
        home = tmp_path / "store"
        shutil.copytree(finished.home, home, symlinks=True)
        shutil.rmtree(home / "logs")
        for kind in kinds:
            for folder in artifacts(home)[kind]:
                shutil.rmtree(folder)
        monkeypatch.setenv("ORCHESTRATE_HOME", str(home))
        return home

    return make
