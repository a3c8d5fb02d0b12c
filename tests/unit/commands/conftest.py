from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub, Repo
from tests.support.command_line import Command, Said
from tests.support.fixtures import fakes, orchestrate
from tests.support.new_recipes import NAME, New

__all__ = ["fakes", "orchestrate"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def new(orchestrate: Command, hub: Hub) -> New:
    """Serve a repository and have a recipe written for it."""

    def call(repo: Repo, *words: str | Path) -> Said:
        hub.repos["models"][NAME] = repo
        return orchestrate("new", NAME, *words)

    return call
