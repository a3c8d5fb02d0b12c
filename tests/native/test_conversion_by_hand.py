"""A conversion by hand, in a folder named like the repository, and recipes that say the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.modelfiles import gguf
from orchestrator.toolchain.load import load
from tests.support.typed_commands import MODELS, typed

Tools = Mapping[str, Path]
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


def by_hand(tools: Tools, model: Path, output: Path, *flags: str) -> None:
    """Upstream's own two commands."""
    python = tools["environment"] / "venv" / "bin" / "python"
    converter = tools["toolchain"] / "src" / "convert_hf_to_gguf.py"
    full = output.with_suffix(".f16")
    convert: list[str | Path] = [
        python,
        "-B",
        converter,
        "--outtype",
        "f16",
        "--outfile",
        full,
        *flags,
        model.name,
    ]
    quantize: list[str | Path] = [
        tools["toolchain"] / "bin" / "llama-quantize",
        full,
        output,
        "Q4_K_M",
        "1",
    ]
    for argv, folder in ((convert, model.parent), (quantize, output.parent)):
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


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

    ran = typed("run", *recipes, "--no-verify", "--out", tmp_path / "dist")
    by_hand(toolchain_inputs, model, tmp_path / "own.gguf")
    (model / "README.md").unlink()
    flags = ("--model-name", "A Name: of/mine", "--metadata", str(tmp_path / "metadata.json"))
    by_hand(toolchain_inputs, model, tmp_path / "told.gguf", *flags)

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
