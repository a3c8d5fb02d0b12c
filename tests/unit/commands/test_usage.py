"""What the command line understands, and what it says of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.fake_steps import RECIPE, ROOT


def test_help_names_every_command_and_every_exit_code(orchestrate: Command) -> None:
    said = orchestrate("--help")

    assert said.code == 0
    for word in ("run", "plan", "check", "schema", "verify", "store", "toolchain", "doctor"):
        assert f"\n  {word} " in said.out
    for code in ("0 done", "1 a step failed", "2 bad recipe", "3 the machine", "130 interrupted"):
        assert code in said.out


@pytest.mark.parametrize("group", [[], ["store"], ["toolchain"]])
def test_a_group_alone_shows_its_help(orchestrate: Command, group: list[str]) -> None:
    said = orchestrate(*group)

    assert said.code == 2
    assert said.err == orchestrate(*group, "--help").out


def test_the_version(orchestrate: Command) -> None:
    assert orchestrate("--version").out.startswith("orchestrate, version 0")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run"],
        ["run", "--nonsense", "x.yaml"],
        ["run", "--jobs", "0", "x.yaml"],
        ["run", "--keep", "nothing", "x.yaml"],
        ["verify", "no-such-file"],
        ["verify", str(ROOT / "README.md")],
        ["toolchain", "build"],
    ],
)
def test_wrong_usage_is_2(orchestrate: Command, arguments: list[str]) -> None:
    said = orchestrate(*arguments)

    assert said.code == 2
    assert said.err


@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_a_missing_recipe_is_2(orchestrate: Command, command: str) -> None:
    said = orchestrate(command, "no-such.yaml")

    assert said.code == 2
    assert "no-such.yaml" in said.err


def test_check_prints_every_error_of_every_recipe(orchestrate: Command) -> None:
    Path("a.yaml").write_text(
        "name: a\nfamily: llama\ntoolchain: llama.cpp\n"
        "model: {hub: x/y, revision: main}\nquantize: [Q4_KM]\nextra: 1\n"
    )
    Path("b.yaml").write_text("name: [\n")
    Path("c.yaml").write_text("name: c\nfamily: No Sense\n")

    said = orchestrate("check", "a.yaml", "b.yaml", "c.yaml", RECIPE)

    assert said.code == 2
    assert "a.yaml:5:12: quantize[0].type: 'Q4_KM' is not a quantization type" in said.err
    assert "did you mean 'Q4_K_M'?" in said.err
    assert "a.yaml:6:1: extra" in said.err
    assert "b.yaml:" in said.err
    assert "c.yaml:2:9: family" in said.err
    assert "llama.yaml" not in said.err


def test_check_of_sound_recipes(orchestrate: Command) -> None:
    said = orchestrate("check", RECIPE)

    assert (said.code, said.out) == (0, "1 recipe: no problem found\n")


def test_weights_that_are_not_there_yet_are_a_note_and_other_files_a_problem(
    orchestrate: Command,
) -> None:
    text = "name: a\nfamily: llama\ntoolchain: llama.cpp\nmodel: {path: own}\nquantize: [Q8_0]\n"
    Path("a.yaml").write_text(text)
    said = orchestrate("check", "a.yaml", RECIPE)
    assert (said.code, said.out) == (0, "2 recipes: no problem found\n")
    assert "note: a.yaml:4:15: model.path: there is no file or folder" in said.err
    assert json.loads(orchestrate("check", "a.yaml", "--json").out)["notes"][0]["line"] == 4
    assert orchestrate("plan", "a.yaml").code == 2

    Path("a.yaml").write_text(text + "imatrix: {corpus: none.txt}\n")
    said = orchestrate("check", "a.yaml")
    assert said.code == 2
    assert "a.yaml:6:19: imatrix.corpus.path: there is no file or folder" in said.err
    assert "model.path" in said.err


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("IQ2_XS", 2),
        ("{type: iq2_xs, imatrix: false}", 2),
        ("{type: IQ2_XS, tensor_types: {ffn: q4_0}}", 0),
        ("IQ4_XS", 0),
    ],
)
def test_a_type_that_needs_an_importance_matrix_is_found_without_work(
    orchestrate: Command, entry: str, code: int
) -> None:
    Path("a.yaml").write_text(
        "name: a\nfamily: llama\ntoolchain: llama.cpp\n"
        f"model: {{hub: x/y, revision: main}}\nquantize: [{entry}]\n"
    )
    said = orchestrate("check", "a.yaml")
    assert said.code == code
    assert ("needs an importance matrix" in said.err) == (code == 2)


def test_the_schema_is_the_one_in_docs(orchestrate: Command) -> None:
    assert orchestrate("schema").out == (ROOT / "docs" / "recipe.schema.json").read_text()
