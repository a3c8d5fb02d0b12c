"""What the Hub refuses, and who may see and send what; with huggingface_hub's real client."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.hub import Fault, Hub, Repo
from tests.hub.written import TOKEN
from tests.support.publications import RecipeFolder, front_matter, published

NAME = "me/small-GGUF"
TO = ("--to", f"hub:{NAME}")


def test_a_repository_for_members_only(finished: RecipeFolder, hub: Hub) -> None:
    assert finished.publish(*TO, "--private").code == 0
    assert hub.repos["models"][NAME].private
    assert finished.publish(*TO).code == 0


def test_private_files_never_go_to_a_public_repository(finished: RecipeFolder, hub: Hub) -> None:
    hub.written.create(NAME, private=False)
    said = finished.publish(*TO, "--private")
    assert said.code == 2
    assert f"{NAME} is public" in said.err


def test_without_a_token(finished: RecipeFolder, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    said = finished.publish(*TO)
    assert said.code == 3
    assert "No token was sent" in said.err
    assert "hf auth login" in said.err


def test_with_a_token_that_is_refused(
    finished: RecipeFolder, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    said = finished.publish(*TO)
    assert said.code == 3
    assert "refused the token" in said.err
    assert "hf_expired" not in said.out + said.err


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("create", 402, "no room or no plan"),
        ("batch", 403, "storage of me is used up"),
        ("commit", 413, "larger than"),
        ("create", 404, "there is no account or organization me"),
    ],
)
def test_other_refusals_are_one_sentence(
    finished: RecipeFolder, hub: Hub, target: str, status: int, words: str
) -> None:
    hub.fault(target, Fault("status", times=99, status=status, method="POST"))
    said = finished.publish(*TO)
    assert said.code in (2, 3)
    assert words in said.err


def test_an_account_of_others(finished: RecipeFolder, hub: Hub) -> None:
    said = finished.publish("--to", "hub:strangers/x")
    assert said.code == 3
    assert "may not write to strangers/x" in said.err


def test_the_token_goes_to_the_hub_only_and_nowhere_else(finished: RecipeFolder, hub: Hub) -> None:
    said = finished.publish(*TO)
    assert TOKEN not in said.out + said.err
    assert all(not one.token for one in hub.requests if one.origin == "storage")
    assert all(TOKEN.encode() not in data for data in published(finished.dist).values())


def test_a_hub_without_xet_is_not_asked_for_it_for_ever(finished: RecipeFolder, hub: Hub) -> None:
    """In a process of its own: the client reads the switch when it is imported."""
    code = (
        "import os; os.environ.pop('HF_HUB_DISABLE_XET', None)\n"
        "from orchestrator.cli import main; main()"
    )
    words = [sys.executable, "-c", code, "publish", str(finished.recipe), *TO]
    done = subprocess.run(words, cwd=finished.place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(hub.written.commits[NAME]) == 2


def test_a_gated_model_is_asked_for(recipe_folder: RecipeFolder, hub: Hub) -> None:
    hub.repos["models"]["org/gated"] = Repo(
        recipe_folder.place / "model", "1" * 40, gated=True, granted=frozenset({TOKEN})
    )
    text = recipe_folder.recipe.read_text().replace(
        "{path: model}", "{hub: org/gated, revision: main}"
    )
    recipe_folder.write(text)
    assert recipe_folder.run().code == 0
    said = recipe_folder.publish(*TO)
    assert said.code == 2
    assert "the model is gated on the Hub" in said.err
    recipe_folder.write(text, license="mit", redistribute=True)
    assert recipe_folder.publish(*TO).code == 0
    card = (hub.repos["models"][NAME].folder / "README.md").read_text()
    assert front_matter(card)["base_model"] == "org/gated"
    assert front_matter(card)["base_model_relation"] == "quantized"


def test_a_model_of_the_hub_is_published_to_a_folder_without_network(
    recipe_folder: RecipeFolder, hub: Hub
) -> None:
    hub.repos["models"]["org/free"] = Repo(recipe_folder.place / "model", "a" * 40)
    text = recipe_folder.recipe.read_text().replace(
        "{path: model}", f"{{hub: org/free, revision: {'a' * 40}}}"
    )
    recipe_folder.write(text)
    assert recipe_folder.run().code == 0
    hub.requests.clear()
    said = recipe_folder.publish("--to", "dir:out", "--offline")
    assert said.code == 0, said.err
    assert not hub.requests
    told = front_matter((recipe_folder.place / "out" / "README.md").read_text())
    assert (told["base_model"], told["language"]) == ("org/free", ["en", "zh"])
