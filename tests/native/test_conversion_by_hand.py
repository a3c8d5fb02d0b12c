"""A conversion by hand, in a folder named like the repository, and recipes that say the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.modelfiles import gguf
from orchestrator.toolchain.load import load
from tests.support.typed_commands import MODELS, typed
from tests.support.warm_store import ready

Tools = Mapping[str, Path]
FLAGS = ("--outtype", "f16")
CARD = """\
---
license: apache-2.0
language: [en]
tags: [tiny]
base_model: org/Tiny-Llama-2M
datasets: [org/tiny-text]
---
# Tiny Llama 2M Instruct
"""
METADATA = {
    "general.author": "Me",
    "general.tags": ["x", "y"],
    "general.sampling.top_k": 3,
    "general.base_models": [{"name": "B", "organization": "O"}],
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "Tiny-Llama-2M-Instruct"
    shutil.copytree(MODELS / "llama", folder)
    (folder / "README.md").write_text(CARD, "utf-8")
    return folder


def call(folder: Path, *argv: str | Path) -> None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def by_hand(tools: Tools, model: Path, output: Path, *flags: str) -> None:
    """Upstream's own two commands."""
    python = tools["environment"] / "venv" / "bin" / "python"
    converter = tools["toolchain"] / "src" / "convert_hf_to_gguf.py"
    full = output.with_suffix(".f16")
    call(model.parent, python, "-B", converter, "--outfile", full, *FLAGS, *flags, model.name)
    call(output.parent, tools["toolchain"] / "bin" / "llama-quantize", full, output, "Q4_K_M", "1")


def by_recipe(folder: Path, name: str, convert: Mapping[str, Any]) -> Path:
    recipe = {
        "name": name,
        "family": "llama",
        "toolchain": "llama.cpp",
        "model": {"path": str(folder / "Tiny-Llama-2M-Instruct")},
        "convert": dict(convert),
        "quantize": ["Q4_K_M"],
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    return path


def test_whole_files_are_those_that_are_made_by_hand(
    tmp_path: Path, model: Path, toolchain_inputs: Tools, store_with: Callable[..., Path]
) -> None:
    store_with("llama.cpp")
    (tmp_path / "metadata.json").write_text(json.dumps(METADATA), "utf-8")
    recipes = [
        by_recipe(tmp_path, "own", {"model_name": "auto"}),
        by_recipe(
            tmp_path,
            "told",
            {"model_name": "A Name: of/mine", "metadata": METADATA, "no_model_card": True},
        ),
    ]

    bare = tmp_path / "bare" / model.name
    shutil.copytree(model, bare, ignore=shutil.ignore_patterns("README.md"))
    flags = ("--model-name", "A Name: of/mine", "--metadata", str(tmp_path / "metadata.json"))

    with ThreadPoolExecutor(1) as aside:  # the converter mostly imports, on one core
        first = aside.submit(by_hand, toolchain_inputs, model, tmp_path / "own.gguf")
        second = aside.submit(by_hand, toolchain_inputs, bare, tmp_path / "told.gguf", *flags)
        ran = typed("run", *recipes, "--no-verify", "--out", tmp_path / "dist")
    first.result()
    second.result()

    assert ran.code == 0, ran.all
    for name in ("own", "told"):
        made = tmp_path / "dist" / name / f"{name}-Q4_K_M.gguf"
        assert made.read_bytes() == (tmp_path / f"{name}.gguf").read_bytes()
    header = gguf.read(tmp_path / "dist" / "own" / "own-Q4_K_M.gguf").metadata
    found = {
        name: header[f"general.{name}"] for name in ("name", "basename", "finetune", "license")
    }
    assert found == {
        "name": "Tiny Llama 2M Instruct",
        "basename": "Tiny-Llama",
        "finetune": "Instruct",
        "license": "apache-2.0",
    }


def test_the_data_lists_the_keys_that_the_converter_asks_of_metadata(
    toolchain_inputs: Tools,
) -> None:
    package = toolchain_inputs["toolchain"] / "src" / "gguf-py" / "gguf"
    constants = (package / "constants.py").read_text("utf-8")
    general = constants[constants.index("class General:") : constants.index("class LLM:")]
    spelled = dict(re.findall(r'(\w+) += "(general\.[\w.]+)"', general))
    asked = re.findall(
        r'metadata_override\.get\((?:Keys\.General\.(\w+)|"([\w.]+)")',
        (package / "metadata.py").read_text("utf-8"),
    )

    known = load("llama.cpp").verbs["convert"].options["metadata"].keys

    assert {spelled.get(name, key) for name, key in asked} == set(known)


@pytest.mark.parametrize(
    ("chain", "kind"), [("llama.cpp-ggjt-v1", "2"), ("llama.cpp-ggjt-v3", "q4_0")]
)
def test_whole_files_of_2023_are_those_that_are_made_by_hand(
    tmp_path: Path, store_with: Callable[..., Path], chain: str, kind: str
) -> None:
    store_with(chain)
    tools = ready(chain)
    model = tmp_path / "models" / "7B"
    shutil.copytree(MODELS / "chimera" / "delta", model)
    config = json.loads((model / "config.json").read_text("utf-8"))
    # The converter of April 2023 takes heads of 128 columns for granted.
    config |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    (model / "config.json").write_text(json.dumps(config), "utf-8")
    recipe = {"name": "old", "family": "llama", "toolchain": chain, "model": {"path": str(model)}}
    (tmp_path / "old.yaml").write_text(yaml.safe_dump({**recipe, "quantize": ["Q4_0"]}), "utf-8")

    ran = typed("run", tmp_path / "old.yaml", "--no-verify", "--out", tmp_path / "dist")
    python = tools["environment"] / "venv" / "bin" / "python"
    call(tmp_path, python, "-B", tools["build"] / "src" / "convert.py", "models/7B/", *FLAGS)
    full, quantized = model / "ggml-model-f16.bin", tmp_path / "ggml-model-q4_0.bin"
    call(tmp_path, tools["build"] / "bin" / "quantize", full, quantized, kind, "1")

    assert ran.code == 0, ran.all
    assert (tmp_path / "dist" / "old" / "old-Q4_0.bin").read_bytes() == quantized.read_bytes()
