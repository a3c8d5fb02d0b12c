"""Where tool chains are searched for, and which one is meant by a name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.base import installed_data
from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.toolchain import find_toolchain
from tests.support.plans import make_vendor


def test_a_folder_beside_the_recipe_adds_tool_chains(tmp_path: Path) -> None:
    make_vendor(tmp_path, "mine")

    found = find_toolchain.find("mine", tmp_path)

    assert (found.place.why, found.chain.folder) == ("beside", tmp_path / "vendor" / "mine")
    assert {"mine", "llama.cpp"} <= set(find_toolchain.names(tmp_path))


def test_a_folder_beside_a_folder_of_recipes_is_found_from_inside(tmp_path: Path) -> None:
    make_vendor(tmp_path, "mine")
    inner = tmp_path / "recipes" / "small"
    inner.mkdir(parents=True)

    assert "mine" in find_toolchain.names(inner)
    assert "mine" not in find_toolchain.names(tmp_path / "other")


def test_a_folder_beside_the_recipe_replaces_nothing(tmp_path: Path) -> None:
    make_vendor(tmp_path, "llama.cpp")

    found = find_toolchain.find("llama.cpp", tmp_path)

    assert found.chain.folder == installed_data.TOOLCHAINS / "llama.cpp"


def test_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = make_vendor(tmp_path / "a", "llama.cpp"), make_vendor(tmp_path / "b", "mine")
    monkeypatch.setenv(find_toolchain.VARIABLE, f"{one}{os.pathsep}{other}")

    found = {one.chain.name: one for one in find_toolchain.every()}

    assert found["llama.cpp"].chain.folder == one / "llama.cpp"
    assert found["mine"].place.why == "variable"
    assert found["bloomz.cpp"].place.why == "installed"


def test_a_variable_that_names_no_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(find_toolchain.VARIABLE, str(tmp_path / "gone"))

    with pytest.raises(UsageError, match=r"ORCHESTRATE_TOOLCHAINS names .*gone, which is no"):
        find_toolchain.load("llama.cpp")


def test_a_near_miss_is_suggested_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'lama\.cpp'; did you mean 'llama\.cpp'\?\n.*bloomz"):
        find_toolchain.load("lama.cpp")


def test_lost_data_is_called_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_data, "TOOLCHAINS", tmp_path / "vendor")

    with pytest.raises(EnvironmentProblem, match=r"holds no tool-chain data.*\n.*Reinstall"):
        find_toolchain.load("llama.cpp")
    with pytest.raises(EnvironmentProblem, match="holds no tool-chain data"):
        find_toolchain.every()
