"""Plans before and after, and files that are verified again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Task
from tests.support.command_line import Command, without_checksums
from tests.support.fake_steps import RECIPE, fake_kinds, forecast
from tests.support.model_files import GGUFSpec, gguf_bytes


@pytest.mark.usefixtures("fakes")
def test_a_plan_before_anything_is_built_is_an_estimate(orchestrate: Command) -> None:
    said = orchestrate("plan", RECIPE)

    assert said.code == 0, said
    assert "to do  build llama.cpp" in said.out
    assert "≈4,196,864" in said.out  # two bytes for each parameter of the header
    assert "Sizes marked ≈ are estimates: no tool chain is built yet." in said.out
    assert "≈325 MB" in said.out  # the packages of the Python environment
    assert "Fetch: ≈402 MB." in said.out
    assert "Peak memory: about " in said.out
    [value] = json.loads(orchestrate("plan", RECIPE, "--json").out)
    assert value["exact"] is False
    assert value["outputs"]["Q8_0"]["size"] == 2_229_584
    assert not Path("dist").exists()


@pytest.mark.usefixtures("fakes")
def test_a_plan_offline_before_anything_is_built_asks_nobody(orchestrate: Command) -> None:
    said = orchestrate("plan", RECIPE, "--offline")

    assert said.code == 0, said
    assert "tiny-llama: sizes are known once the tool chain is built" in said.out


@pytest.mark.usefixtures("fakes")
def test_a_plan_of_a_built_chain_is_exact(orchestrate: Command) -> None:
    assert orchestrate("toolchain", "build", "llama.cpp").code == 0

    said = orchestrate("plan", RECIPE)

    assert said.code == 0
    assert "hit    build llama.cpp" in said.out
    assert "1,200,000" in said.out
    assert "≈" not in said.out
    assert "Peak disk: " in said.out
    value = json.loads(orchestrate("plan", RECIPE, "--json").out)
    assert value[0]["exact"] is True
    assert value[0]["outputs"]["Q4_0"]["size"] == 1_200_000
    assert {step["hit"] for step in value[0]["steps"]} == {True, False}


@pytest.mark.usefixtures("fakes")
def test_one_recipe_that_cannot_be_planned_hides_no_other(orchestrate: Command) -> None:
    sound = without_checksums()
    wrong = Path("wrong.yaml")
    text = sound.read_text().replace("name: tiny-llama", "name: wrong", 1)
    wrong.write_text(
        text.replace("model:\n", "model:\n  files: {config.json: '" + "0" * 64 + "'}\n", 1)
    )

    said = orchestrate("plan", wrong, sound)

    assert said.code == 2, said
    assert "convert tiny-llama to F16" in said.out
    assert "convert wrong to F16" not in said.out
    assert "error: wrong.yaml: model: " in said.err
    assert "config.json is not the file the recipe means" in said.err

    alone = orchestrate("plan", wrong)
    assert (alone.code, alone.out) == (2, "")


@pytest.mark.usefixtures("fakes")
def test_a_plan_of_finished_work(orchestrate: Command) -> None:
    orchestrate("run", RECIPE, "--no-limits")

    said = orchestrate("plan", RECIPE)

    assert "Everything is up to date." in said.out


def test_a_plan_says_what_cannot_be_made(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_task: Task) -> dict[str, JSON]:
        raise StepError("the converter does not know the architecture X", "Use a newer one.")

    fake_kinds(monkeypatch, header=unknown)
    orchestrate("toolchain", "build", "llama.cpp")

    said = orchestrate("plan", RECIPE)

    assert said.code == 1
    assert "does not know the architecture X" in said.err
    assert "up to date" not in said.out + said.err


@pytest.mark.usefixtures("fakes")
def test_verify_judges_again_what_is_there(orchestrate: Command) -> None:
    recipe = without_checksums()
    missing = orchestrate("verify", recipe)
    assert missing.code == 1
    assert "is not made yet" in missing.err
    orchestrate("run", recipe)

    said = orchestrate("verify", recipe)

    assert said.code == 0
    assert "✓ measure tiny-llama Q4_0" in said.err
    assert "✓ quantize" not in said.err


@pytest.mark.usefixtures("fakes")
def test_verify_any_file(orchestrate: Command) -> None:
    Path("a-Q4.gguf").write_bytes(gguf_bytes(GGUFSpec()))
    Path("a-F16.gguf").write_bytes(gguf_bytes(GGUFSpec()) + bytes(32))
    Path("text.txt").write_text("words")

    options = ["--against", "a-F16.gguf", "--corpus", "text.txt", "--prompt", "Once"]
    said = orchestrate("verify", "a-Q4.gguf", *options)

    assert said.code == 0, said
    assert "perplexity" in said.out
    assert orchestrate("verify", "a-Q4.gguf").code == 0


def test_a_plan_warns_of_tensors_that_a_matrix_of_others_lacks(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(task: Task) -> dict[str, JSON]:
        told = forecast(task)
        told["outputs"]["IQ4_XS"] = {**told["outputs"]["IQ4_XS"], "unweighed": ["blk.0.a", "b"]}
        return told

    fake_kinds(monkeypatch, forecast=lacking)
    assert orchestrate("toolchain", "build", "llama.cpp").code == 0

    said = orchestrate("plan", RECIPE)

    assert said.code == 0
    assert "warning: IQ4_XS: the importance matrix has nothing for 2 tensors, such as" in said.out
    assert said.out.count("the importance matrix has nothing for") == 1
