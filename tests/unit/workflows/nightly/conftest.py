"""The command line with faked work, as its own tests have it, and nights with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.workflows.nightly import network_retries
from tests.support.command_line import Command, Said
from tests.support.fixtures import fakes, orchestrate, recipes
from tests.support.nights import Night

__all__ = ["fakes", "orchestrate", "recipes"]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that a night took; none is real."""
    taken: list[float] = []
    monkeypatch.setattr(network_retries, "sleep", taken.append)
    return taken


@pytest.fixture
def night(orchestrate: Command, recipes: Path) -> Night:
    """A night over the recipes: its exit code and its JSON with the recipes by name."""

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        said: Said = orchestrate("nightly", recipes, "--json", *words)
        told = json.loads(said.out)
        told["recipes"] = {one["recipe"]: one for one in told["recipes"]}
        return said.code, told

    return run
