"""An upstream repository that moves on, with commits that change bytes or break the build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from git import Repo

from orchestrator.toolchain import load
from tests.standin import harness, models
from tests.standin.repositories import first_commit, repo_with, vendor
from tests.support.typed_commands import typed

PLANTED = ("quantize.cpp", "largest / 7", "largest / 8")


BROKEN = ("quantize.cpp", "#include <cmath>", "#include <no-such-header>")


FIXED = ("quantize.cpp", "#include <no-such-header>", "#include <cmath>")


@dataclass(frozen=True)
class Moving:
    """A stand-in upstream with a history, and a recipe that follows its branch main."""

    repo: Repo
    recipe: Path

    def commit(self, subject: str, *changes: tuple[str, str, str]) -> str:
        return str(repo_with(self.repo, subject, *changes).head.commit.hexsha)

    def bisect(self, good: str, bad: str, *more: str) -> tuple[int, str, str]:
        words = ("bisect", self.recipe, "--only", "Q4_0", "--good", good, "--bad", bad, "-t", "1")
        said = typed(*words, *more)
        return said.code, said.out, said.err


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moving:
    repo = first_commit(tmp_path / "upstream")
    chain = vendor(tmp_path, repo)
    known = load.load
    monkeypatch.setattr(
        load, "load", lambda name, *rest: chain if name == "standin" else known(name, *rest)
    )
    recipe = harness.write_recipe(
        tmp_path,
        "standin",
        models.TINY / "bloom",
        family="bloomz",
        quantize=["Q4_0"],
        toolchain={"name": "standin", "commit": "main"},
        verify={"speed": False},
    )
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return Moving(repo, recipe)
