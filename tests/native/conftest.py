"""Real tool chains for the tests, built once per machine and shared by all runs.

The tests have stores of their own; only finished builds and environments come from the
user's cache, so a test can break whatever it likes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.moving_upstream import moving
from tests.support.typed_commands import TINY, artifacts, typed
from tests.support.warm_store import Finished, link, ready

__all__ = ["moving"]

Tools = Mapping[str, Path]


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
def store_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a store of the test's own that has the named tool chains in it already."""

    def make(*names: str) -> Path:
        root = tmp_path / "store"
        for name in names:
            link(root, name)
        monkeypatch.setenv("ORCHESTRATE_HOME", str(root))
        return root

    return make


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
