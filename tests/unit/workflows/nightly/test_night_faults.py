"""What goes wrong for one recipe, or for one night, is nobody else's trouble."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import EnvironmentProblem, NetworkProblem
from orchestrator.runs import preflight
from orchestrator.sources import git
from tests.support.command_line import Command
from tests.support.nights import Night, add, artifacts, recorded_history

MOVING = "toolchain: {name: llama.cpp, commit: main}"


@pytest.mark.usefixtures("fakes")
def test_a_folder_that_cannot_be_written_stops_no_other_recipe(night: Night) -> None:
    Path("dist").mkdir()
    Path("dist/one").write_text("in the way")

    code, told = night()

    assert code == 3
    assert {name: one["state"] for name, one in told["recipes"].items()} == {
        "one": "environment",
        "two": "ok",
    }
    assert "dist/one cannot be written" in told["recipes"]["one"]["error"]
    assert Path("dist/two/two-Q4_0.gguf").exists()
    assert [one.state for one in recorded_history().nights()] == ["environment"]


@pytest.mark.usefixtures("fakes")
def test_a_run_by_hand_puts_out_what_it_can_too(orchestrate: Command, recipes: Path) -> None:
    Path("dist").mkdir()
    Path("dist/one").write_text("in the way")

    said = orchestrate("run", recipes / "one.yaml", recipes / "two.yaml")

    assert said.code == 3
    assert "dist/one cannot be written" in said.err
    assert Path("dist/two/two-Q4_0.gguf").exists()


@pytest.mark.usefixtures("fakes")
def test_offline_no_branch_is_asked_for(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setattr(git, "resolve", lambda *_: pytest.fail("somebody was asked"))
    add(recipes, "moving", "toolchain: llama.cpp", MOVING)

    code, told = night("--offline")

    assert (code, waits) == (3, [])
    assert "cannot be resolved to a commit offline" in told["recipes"]["moving"]["error"]
    assert told["recipes"]["one"]["state"] == "ok"


@pytest.mark.usefixtures("fakes")
def test_who_does_not_answer_is_asked_once_an_attempt_not_once_a_recipe(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    asked: list[str] = []

    def resolve(url: str, revision: str) -> str:
        asked.append(revision)
        raise NetworkProblem(f"{url} cannot be reached")

    monkeypatch.setattr(git, "resolve", resolve)
    for name in ("first", "second", "third"):
        add(recipes, name, "toolchain: llama.cpp", MOVING)

    code, told = night("--retries", "2")

    assert (code, len(waits)) == (3, 2)
    assert asked == ["main"] * 3
    assert [told["recipes"][name]["state"] for name in ("first", "third")] == ["environment"] * 2


@pytest.mark.usefixtures("fakes")
def test_what_a_recipe_that_nobody_could_plan_made_before_is_not_collected(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    answers = ["e" * 40]

    def resolve(url: str, _revision: str) -> str:
        if not answers:
            raise NetworkProblem(f"{url} cannot be reached")
        return answers.pop()

    monkeypatch.setattr(git, "resolve", resolve)
    add(recipes, "moving", "toolchain: llama.cpp", MOVING)
    night()
    (recipes / "two.yaml").unlink()

    code, _ = night("--retries", "0", "--max-store", "1K")

    left = {one.label for one in artifacts()}
    assert code == 3
    assert {"quantize moving to Q4_0", "measure moving Q4_0: load"} <= left
    assert not any("two" in label for label in left)


@pytest.mark.usefixtures("fakes")
def test_room_is_looked_for_once_where_all_fit(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        add(recipes, f"more-{number}", "name: one", "name: one")
    asked: list[int] = []
    check = preflight.check_room

    def counted(previews: Sequence[preflight.Preview], *rest: Any) -> None:
        asked.append(len(previews))
        check(previews, *rest)

    monkeypatch.setattr(preflight, "check_room", counted)

    assert night()[0] == 0
    assert asked == [8, 8]  # before anything, and when the sizes of the models are known


@pytest.mark.usefixtures("fakes")
def test_the_largest_recipe_is_refused_alone_among_many(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        add(recipes, f"more-{number}", "name: one", "name: one")
    check = preflight.check_room

    def small(previews: Sequence[preflight.Preview], *rest: Any) -> None:
        if any(one.plan.recipe.name in ("more-3", "two") for one in previews):
            raise EnvironmentProblem("the disk is too small")
        check(previews, *rest)

    monkeypatch.setattr(preflight, "check_room", small)

    code, told = night()

    refused = [name for name, one in told["recipes"].items() if one["state"] != "ok"]
    assert (code, sorted(refused)) == (3, ["more-3", "two"])
