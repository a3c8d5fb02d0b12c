"""A night that watches the Hub: the model moved on, published files are others or gone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Fault, Hub, Repo
from tests.support.command_line import Command
from tests.support.fake_steps import RECIPE
from tests.support.nights import Night

PINNED, NEWEST = "1" * 40, "2" * 40
WATCH = "watch: {source: main, published: me/llama-GGUF}\n"


@pytest.fixture
def hub(
    fakes: None,
    recipes: Path,
    hub_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hub]:
    """The model of ``one`` at a commit and published; its files as the recipe makes them."""
    served = shutil.copytree(RECIPE.parent / "models" / "llama", tmp_path / "served")
    text = (recipes / "one.yaml").read_text()
    lines = [
        f"  hub: org/llama\n  revision: '{PINNED}'" if line.startswith("  path:") else line
        for line in text.splitlines()
    ]
    (recipes / "one.yaml").write_text("\n".join(lines) + "\n" + WATCH)
    (tmp_path / "published").mkdir()
    repos = {
        "org/llama": Repo(served, PINNED),
        "me/llama-GGUF": Repo(tmp_path / "published", "3" * 40),
    }
    with Hub(repos) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def publish(hub: Hub) -> Path:
    """What was made, as a person copied it into the published repository."""
    folder = hub.repos["models"]["me/llama-GGUF"].folder
    for path in Path("dist/one").glob("*.gguf"):
        shutil.copy(path, folder)
    return folder


def of_one(told: dict[str, Any]) -> dict[str, str]:
    """What was alarming about ``one``, by kind."""
    return {one["what"]: one["message"] for one in told["recipes"]["one"]["alarms"]}


def test_nothing_is_said_while_all_is_as_it_was(night: Night, hub: Hub) -> None:
    night()
    publish(hub)

    code, told = night()

    assert (code, of_one(told), told["recipes"]["one"]["notes"]) == (0, {}, [])


def test_a_source_that_moved_on_names_the_wanted_files_that_are_others(
    night: Night, hub: Hub, tmp_path: Path
) -> None:
    night()
    publish(hub)
    before = hub.repos["models"]["org/llama"]
    moved = shutil.copytree(before.folder, tmp_path / "moved")
    (moved / "README.md").write_text("# news\n")
    hub.repos["models"]["org/llama"] = Repo(moved, NEWEST, earlier=(before,))
    assert of_one(night()[1]) == {}, "a text beside the model changes no file"

    (moved / "tokenizer_config.json").write_text("{}\n")
    code, told = night()

    assert code == 1
    said = of_one(told)["source"]
    assert said.startswith("the model moved on: tokenizer_config.json is others at main (2222")
    assert "accept" not in told["recipes"]["one"]["advice"]


def test_published_files_that_are_others_or_gone_raise_an_alarm(night: Night, hub: Hub) -> None:
    night()
    folder = publish(hub)
    [file, *_] = sorted(folder.glob("*.gguf"))
    file.write_bytes(file.read_bytes() + b"!")
    said = of_one(night()[1])["published"]
    assert said.startswith("no file of me/llama-GGUF is what the recipe makes (SHA-256 ")

    file.unlink()
    code, told = night()

    assert (code, told["recipes"]["one"]["state"]) == (1, "alarm")
    assert {one["file"] for one in told["recipes"]["one"]["alarms"]} == {file.name}


def test_a_hub_that_does_not_answer_is_noted_and_fails_nothing(
    night: Night, hub: Hub, orchestrate: Command
) -> None:
    night()
    publish(hub)
    hub.fault("api", Fault("status", times=1000, status=404))

    code, told = night()

    assert (code, told["recipes"]["one"]["state"]) == (0, "ok")
    assert len([n for n in told["recipes"]["one"]["notes"] if "could not be watched" in n]) == 2
    assert night("--offline")[1]["recipes"]["one"]["notes"] == [
        "Nothing was watched: this night is offline."
    ]


def test_a_source_that_is_not_of_the_hub_is_noted(night: Night, hub: Hub, recipes: Path) -> None:
    file = recipes / "two.yaml"
    file.write_text(file.read_text() + "watch: {source: main}\n")

    code, told = night()

    assert (code, told["recipes"]["two"]["state"]) == (1, "ok")  # the other's files are not there
    assert told["recipes"]["two"]["notes"] == [
        "main could not be watched: the model is not from the Hub, so it has no such branch"
    ]


def test_a_watch_changes_no_digest_of_the_recipe(recipes: Path, fakes: None) -> None:
    from orchestrator.runs import load_and_plan

    file = recipes / "one.yaml"
    before = load_and_plan.load_one(file)
    file.write_text(file.read_text() + WATCH)
    after = load_and_plan.load_one(file)
    assert after.watch is not None
    assert before.digest == after.digest
