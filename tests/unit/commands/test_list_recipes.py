"""The recipes that come along: listed, and copied to start from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.base import installed_data
from orchestrator.recipe import schema_text
from orchestrator.runs import load_and_plan
from orchestrator.workflows.drafting import editor_schema
from tests.support.command_line import Command

TINY = ("tiny-bloom", "tiny-chatglm", "tiny-chimera", "tiny-falcon", "tiny-llama", "tiny-lora")


def test_recipes_are_listed_with_what_they_fetch(orchestrate: Command) -> None:
    listed = {one["name"]: one for one in json.loads(orchestrate("recipes", "--json").out)}
    text = orchestrate("recipes").out

    assert set(listed) == set(installed_data.recipes())
    merged = listed["chimera-7b"]
    assert merged["source"] == "huggyllama/llama-7b + FreedomIntelligence/chimera-chat-7b-delta"
    assert (merged["family"], merged["download"]) == ("chimera", "27 GB")
    assert listed["tiny-llama"]["download"] == "nothing"
    assert listed["tiny-llama"]["files"] == ["Q4_0", "Q4_K_M", "IQ4_XS", "Q8_0"]
    assert listed["llama-7b-ggml"]["source"] == "your own files"
    # No public source says how large that test model is.
    unknown = [name for name, one in listed.items() if not one["download"]]
    assert unknown == [name for name in listed if name.endswith("mixtral-tiny")]
    assert [line.split()[0] for line in text.splitlines()[1:]] == list(listed)


@pytest.mark.parametrize("name", [*TINY, "llama-13b"])
def test_a_copy_is_the_same_recipe(name: str, tmp_path: Path, orchestrate: Command) -> None:
    said = orchestrate("recipes", "--copy", name, tmp_path / "mine")

    assert said.code == 0
    copied = load_and_plan.load_one(tmp_path / "mine" / f"{name}.yaml")
    assert copied.digest == load_and_plan.load_one(Path(name)).digest
    files = [path for path in (tmp_path / "mine").rglob("*") if path.is_file()]
    assert not any(str(installed_data.ROOT).encode() in path.read_bytes() for path in files)


def test_a_copy_says_where_files_are_missing(tmp_path: Path, orchestrate: Command) -> None:
    orchestrate("recipes", "--copy", "llama-7b-ggml", tmp_path / "kept.yaml")
    said = orchestrate("recipes", "--copy", "published-llama-7b-ggjt-v1", tmp_path, "--json")

    told = json.loads(said.out)
    assert told["missing"] == [str(tmp_path / "models" / "7B")]
    assert str(tmp_path / "llama-7b-ggml.yaml") in told["files"]


def test_a_copy_overwrites_nothing(tmp_path: Path, orchestrate: Command) -> None:
    place = tmp_path / "mine"
    (place / "corpus").mkdir(parents=True)
    (place / "corpus" / "perplexity.txt").write_text("mine")

    refused = orchestrate("recipes", "--copy", "tiny-llama", place)

    assert refused.code == 2
    assert "perplexity.txt exists already" in refused.err
    assert [path.name for path in place.iterdir()] == ["corpus"]
    assert orchestrate("recipes", "--copy", "llama-7b").code == 0
    assert orchestrate("recipes", "--copy", "llama-7b").code == 2


def test_misuse_is_refused(orchestrate: Command) -> None:
    near = orchestrate("recipes", "--copy", "lama-7b")
    assert (near.code, "did you mean 'llama-7b'?" in near.err) == (2, True)
    assert orchestrate("recipes", "somewhere").code == 2


def test_a_recipe_extends_another_by_name(tmp_path: Path, orchestrate: Command) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: tiny-llama\nname: mine\nquantize: [Q5_0]\n")
    assert orchestrate("check", path).code == 0


def test_the_schema_is_put_beside_recipes(tmp_path: Path, orchestrate: Command) -> None:
    said = orchestrate("schema", "--write", tmp_path / "recipes")

    assert "# yaml-language-server: $schema=recipe.schema.json" in said.out
    assert (tmp_path / "recipes" / "recipe.schema.json").read_text() == schema_text(
        load_and_plan.vocabularies()
    )
    inner = tmp_path / "recipes" / "a" / "b"
    assert editor_schema.line(inner).endswith("$schema=../../recipe.schema.json\n")


def test_a_copy_names_the_schema_that_is_near(tmp_path: Path, orchestrate: Command) -> None:
    orchestrate("schema", "--write", tmp_path / "docs")
    orchestrate("recipes", "--copy", "llama-7b", tmp_path / "recipes")

    first = (tmp_path / "recipes" / "llama-7b.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../docs/recipe.schema.json"
    assert not (tmp_path / "recipes" / "recipe.schema.json").exists()
