"""Real tool chains for the tests, built once per machine and shared by all runs.

The tests have stores of their own; only finished builds and environments come from the
user's cache, so a test can break whatever it likes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator import plan, workflow
from orchestrator.console import Plain
from orchestrator.records import Step
from orchestrator.runner import Runner, Settings
from orchestrator.store import Store

# Read before any test gets a home of its own.
CACHE = Store.default_root()

Tools = Mapping[str, Path]


def ready(name: str) -> dict[str, Path]:
    """Artifact folders of a built tool chain by step kind; builds it when it is not there."""
    store = Store(CACHE, print)
    steps = plan.toolchain_steps(name, workflow.choices())
    missing = [step.key for step in steps if store.find(step.key) is None]
    if missing:
        with open(os.devnull, "w", encoding="utf-8") as quiet:
            runner = Runner(store, Settings(threads=os.cpu_count() or 1), Plain(quiet))
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


@pytest.fixture
def store_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Make a store of the test's own that has the named tool chains in it already."""

    def make(*names: str) -> Path:
        root = tmp_path / "store"
        for name in names:
            for folder in ready(name).values():
                artifact = folder.parent
                link = root / "artifacts" / artifact.name[:2] / artifact.name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    link.symlink_to(artifact, target_is_directory=True)
        monkeypatch.setenv("ORCHESTRATE_HOME", str(root))
        return root

    yield make
