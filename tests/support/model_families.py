"""Unchanged recipes run on miniatures under real names; what the tests of all families share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.toolchain import call_verb
from tests.hub import Hub
from tests.miniatures import hubs
from tests.miniatures.repositories import Layout
from tests.support.typed_commands import Said, artifacts, typed
from tests.support.warm_store import ready

TOKEN = "hf_must_not_reach_what_a_repository_runs"
# What the trained miniatures reach on the text that is served: whatever the format.
PERPLEXITY = {"llama": 1.54, "chimera": 1.94}


@dataclass(frozen=True)
class Ran:
    """One run of several recipes: the Hub that served it, what it said and left."""

    place: Path
    hub: Hub
    recipes: Path
    said: Said

    @property
    def store(self) -> Path:
        return self.place / "store"

    def file(self, recipe: str, kind: str, suffix: str = ".gguf") -> Path:
        return self.place / "dist" / recipe / f"{recipe}-{kind}{suffix}"

    def report(self, recipe: str) -> dict[str, Any]:
        text = (self.place / "dist" / recipe / "report.json").read_text("utf-8")
        found: dict[str, Any] = json.loads(text)
        return found

    def row(self, recipe: str, kind: str) -> dict[str, Any]:
        [found] = [one for one in self.report(recipe)["files"] if one["type"] == kind]
        assert isinstance(found, dict)
        return found

    def checks(self, recipe: str, kind: str) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.row(recipe, kind)["checks"]}

    def perplexity(self, recipe: str, kind: str = "F16") -> float:
        return float(self.checks(recipe, kind)["perplexity"]["numbers"]["perplexity"])

    def snapshot(self, repo: str) -> set[str]:
        """The files of a repository that came into the Hub client's cache."""
        folder = self.place / "hf" / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots"
        root = folder / hubs.revision(repo)
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}

    def converted(self, recipe: str) -> Path:
        """The F16 that the files of a recipe were made from; it stays in the store."""
        for folder in artifacts(self.store)["convert"]:
            label = json.loads((folder / "manifest.json").read_text("utf-8"))["label"]
            if label == f"convert {recipe} to F16":
                [found] = (folder / "files").iterdir()
                return found
        raise AssertionError(f"{recipe} was not converted")


Table = Mapping[str, Callable[[Layout], None]]


def python() -> Path:
    return call_verb.environment_python(ready("llama.cpp")["environment"])


def served(place: Path, table: Table) -> Iterator[Hub]:
    """A Hub of miniatures, and an environment in which the client finds it."""
    with hubs.make(place / "hub", table, python()) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place))
        patch.setenv("HF_HOME", str(place / "hf"))
        patch.delenv("HF_HUB_CACHE", raising=False)
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_TOKEN", TOKEN)
        yield hub


def run(place: Path, hub: Hub, recipes: Path, names: tuple[str, ...], *more: str) -> Ran:
    paths = [recipes / f"{name}.yaml" for name in names]
    where = ("--out", str(place / "dist"), "--log-json", str(place / "log"))
    said = typed("run", *paths, "--no-limits", *where, *more, home=place / "store")
    return Ran(place, hub, recipes, said)
