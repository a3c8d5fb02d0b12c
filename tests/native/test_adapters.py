"""LoRA adapters: merged as peft merges them, or files of their own that upstream takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.modelfiles import gguf
from tests.support.typed_commands import MODELS, Said, typed, variant

ASKED = "Human: Who likes to eat honey? Assistant:"
OWN = "2bd60114f3304cf9d0235afd369de4c71453039d78e707f547f07959187162ba"


@pytest.fixture(autouse=True)
def _built(store_with: Callable[..., Path]) -> None:
    store_with("llama.cpp")


def adapter(folder: Path, **config: Any) -> Path:
    """A copy of the tiny llama's adapter with another configuration."""
    shutil.copytree(MODELS / "lora", folder)
    found = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps(found | config), encoding="utf-8")
    return folder


def recipe(folder: Path, **fields: Any) -> Path:
    plain = {"verify": {"speed": False}, "imatrix": None, "quantize": ["Q8_0"]}
    return variant(folder, {**plain, **fields})


def planned(folder: Path, **config: Any) -> Said:
    sides = {"base": {"path": str(MODELS / "llama")}}
    lora = [{"path": str(adapter(folder / "adapter", **config))}]
    return typed("plan", recipe(folder, model={**sides, "lora": lora}))


def test_an_adapter_of_its_own_is_tried_and_holds_all_tensors(tmp_path: Path) -> None:
    asked = {"path": str(MODELS / "lora"), "prompt": ASKED, "expect": "The bear"}
    path = recipe(tmp_path, adapters={"answers": asked})
    said = typed("run", path, "--out", tmp_path / "dist")

    assert said.code == 0, said.all
    [out] = (tmp_path / "dist").iterdir()
    [file] = out.glob("*-lora-answers-F16.gguf")
    told = json.loads((out / "report.json").read_text("utf-8"))
    assert told["source"]["message"].endswith("All 28 tensors of lora-answers are in its file.")
    [row] = [one for one in told["files"] if one["file"] == file.name]
    assert row["sha256"] == OWN
    assert {one["name"]: one["status"] for one in row["checks"]}["with_adapter"] == "pass"
    header = gguf.read(file)
    assert (header.metadata["general.type"], len(header.tensors)) == ("adapter", 28)


def test_adapters_that_cannot_be_merged_are_refused_at_plan(tmp_path: Path) -> None:
    said = planned(tmp_path / "1", use_dora=True)
    assert said.code == 1
    assert "is not merged: it says 'use_dora'" in said.all
    said = planned(tmp_path / "2", r=16)
    assert said.code == 1
    assert "its rank is 8, the adapter's configuration says 16" in said.all


def test_an_adapter_that_a_file_cannot_hold_is_refused_at_plan(tmp_path: Path) -> None:
    given = {"path": str(adapter(tmp_path / "adapter", use_rslora=True))}
    said = typed("plan", recipe(tmp_path, adapters={"answers": given}))
    assert said.code == 1
    assert "cannot be a file of its own: it has use_rslora" in said.all


def test_a_pickled_adapter_is_refused_at_plan_as_a_file_of_its_own(tmp_path: Path) -> None:
    given = adapter(tmp_path / "adapter")
    (given / "adapter_model.safetensors").rename(given / "adapter_model.bin")

    said = typed("plan", recipe(tmp_path, adapters={"answers": {"path": str(given)}}))

    assert said.code == 1, said.all
    assert "cannot be a file of its own: it has no tensors in a safetensors file" in said.err
