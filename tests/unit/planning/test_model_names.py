"""What the converter is told of a model's name, and the folder that it sees the model in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.planning.resolved_source import Resolved
from orchestrator.toolchain import load
from orchestrator.toolchain.load import ToolChain
from orchestrator.toolchain.model import Verb
from tests.support.plans import COMMIT, by_label, hub, local, make_plan, sources

PINNED = load.load("llama.cpp")
FOLDER_NAMES = PINNED.at(["no-metadata", "dashes-in-scripts", "converter-of-llama"])
MODEL = hub("org/Tiny-Llama-2M-Instruct")
RECIPE = """\
name: small
family: llama
toolchain: llama.cpp
model: {{hub: org/small, revision: main}}
convert: {{{convert}}}
quantize: [Q4_0]
"""


def converted(
    folder: Path, convert: str, chain: ToolChain = PINNED, model: Resolved = MODEL
) -> tuple[Mapping[str, Any], list[str], str]:
    """Parameters, argv and key of the conversion; trying it must be told the same."""
    found = sources(corpora={}, model=model, commit=COMMIT)
    steps = by_label(make_plan(folder, RECIPE.format(convert=convert), chain=chain, found=found))
    given = []
    for step in steps.values():
        if step.kind in ("convert", "header"):
            verb = Verb.model_validate(step.context["verbs"][step.params.get("verb", "describe")])
            places = {"python": "p", "src": "s", "data": "d", "input": "in", "output": "out"}
            argv = verb.expand({**step.params, **places})
            named = {name: step.params.get(name) for name in ("model_name", "folder")}
            given.append((named, argv[argv.index("--outtype") :], step.key))
    assert len({str(one[:2]) for one in given}) == 1
    return given[-1]


@pytest.mark.parametrize("said", ["", "model_name: small", "model_name: null"])
def test_without_a_name_the_recipes_is_flag_and_folder(tmp_path: Path, said: str) -> None:
    params, argv, _ = converted(tmp_path, said)

    assert params == {"model_name": "small", "folder": None}
    assert argv[-3:] == ["--model-name", "small", "in"]


def test_auto_gives_no_flag_and_a_folder_called_like_the_repository(tmp_path: Path) -> None:
    params, argv, key = converted(tmp_path, "model_name: auto")

    assert params["folder"] == "Tiny-Llama-2M-Instruct"
    assert argv == ["--outtype", "f16", "--outfile", "out", "in"]
    assert key != converted(tmp_path, "model_name: Tiny-Llama-2M-Instruct")[2]


def test_auto_takes_the_name_of_a_local_folder(tmp_path: Path) -> None:
    model = local("config.json", kind="hf", path="/srv/models/My Model")
    model = Resolved({**model.identity, "files": {"a": "0", "b": "1"}}, model.context, "hf")

    assert converted(tmp_path, "model_name: auto", model=model)[0]["folder"] == "My Model"


def test_any_text_is_a_name_beside_the_usual_folder(tmp_path: Path) -> None:
    params, argv, _ = converted(tmp_path, "model_name: 'Tiny Llama: org/2M'")

    assert params == {"model_name": "Tiny Llama: org/2M", "folder": "Tiny-Llama-2M-Instruct"}
    assert argv[-3:] == ["--model-name", "Tiny Llama: org/2M", "in"]


def test_a_converter_without_the_flag_reads_the_name_from_folders(tmp_path: Path) -> None:
    params, argv, _ = converted(tmp_path, "model_name: Tiny Llama", FOLDER_NAMES)
    assert params == {"model_name": "Tiny Llama", "folder": None}
    assert "--model-name" not in argv

    params, _, _ = converted(tmp_path, "model_name: auto", FOLDER_NAMES)
    assert params == {"model_name": "models", "folder": "Tiny-Llama-2M-Instruct"}

    with pytest.raises(UsageError, match="cannot be called 'org/2M'"):
        converted(tmp_path, "model_name: org/2M", FOLDER_NAMES)


def test_values_of_options_are_those_that_the_commit_knows(tmp_path: Path) -> None:
    old = PINNED.at(["converter-in-one-script", "no-sampling-metadata", "datasets-by-name"])
    for said, wrong in (
        ("{general.sampling.top_k: 3}", "there is no key 'general.sampling.top_k'"),
        ("{general.datasets: [{name: a}]}", "general.datasets must be a list of texts"),
    ):
        text = RECIPE.replace(
            "toolchain: llama.cpp", "toolchain: {{name: llama.cpp, commit: ea9c32b}}"
        )
        recipe = text.format(convert=f"metadata: {said}")
        with pytest.raises(UsageError, match=wrong):
            make_plan(tmp_path, recipe, chain=old, found=sources(corpora={}, model=MODEL))
    recipe = text.format(convert="metadata: {general.datasets: [a]}")
    assert make_plan(tmp_path, recipe, chain=old, found=sources(corpora={}, model=MODEL)).steps


def test_an_old_converter_takes_no_metadata(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"unknown key 'metadata'"):
        converted(tmp_path, "metadata: {general.author: Me}", FOLDER_NAMES)


def test_a_gguf_is_not_rewritten_as_whatever_its_weights_are(tmp_path: Path) -> None:
    model = Resolved(local("a.gguf").identity, {"path": "/srv/a.gguf"}, "gguf")

    with pytest.raises(UsageError, match="AUTO is no type of the quantizer"):
        converted(tmp_path, "outtype: auto", model=model)
