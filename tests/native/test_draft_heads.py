"""A head that predicts further tokens: inside, as a file of its own, or left out by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.modelfiles import gguf
from tests.support.draft_models import write_draft_model
from tests.support.typed_commands import typed

RECIPE = """\
name: tiny-draft
family: glm4moe
toolchain: llama.cpp
model: {path: model}
convert: {tokenizer_pre: chatglm-bpe}
mtp: WHERE
quantize: [Q8_0]
verify: {speed: false}
"""
HEAD = "80892e4a523c81036fd9327d7d17ebbe5019f8732f290a9acc836da64850fbf8"


@pytest.fixture(autouse=True)
def _built(store_with: Callable[..., Path]) -> None:
    store_with("llama.cpp")


def recipe(folder: Path, where: str, *, head: bool = True) -> Path:
    write_draft_model(folder / "model", head=head)
    (folder / "draft.yaml").write_text(RECIPE.replace("WHERE", where))
    return folder / "draft.yaml"


def report(folder: Path) -> Any:
    return json.loads((folder / "dist" / "tiny-draft" / "report.json").read_text("utf-8"))


def test_a_separate_head_has_its_own_file_and_nothing_is_lost(tmp_path: Path) -> None:
    said = typed("run", recipe(tmp_path, "separate"), "--out", tmp_path / "dist")

    assert said.code == 0, said.all
    out = tmp_path / "dist" / "tiny-draft"
    head = {one.name for one in gguf.read(out / "mtp-tiny-draft-F16.gguf").tensors}
    text = {one.name for one in gguf.read(out / "tiny-draft-Q8_0.gguf").tensors}
    assert "blk.2.nextn.eh_proj.weight" in head - text
    assert not [name for name in text if name.startswith("blk.2.")]
    told = report(tmp_path)
    assert told["source"]["message"] == (
        "All 71 tensors of the source are in the files (30 of them in mtp)."
    )
    assert {one["file"]: one["sha256"] for one in told["files"]}["mtp-tiny-draft-F16.gguf"] == HEAD


def test_a_head_that_is_left_out_is_named_in_the_report(tmp_path: Path) -> None:
    said = typed("run", recipe(tmp_path, "without"), "--out", tmp_path / "dist")

    assert said.code == 0, said.all
    message = report(tmp_path)["source"]["message"]
    assert message.startswith("41 of the 71 tensors of the source are in the file; left out: ")
    assert "model.layers.*.eh_proj.weight" in message


def test_a_head_that_the_weights_lack_is_missed_at_plan(tmp_path: Path) -> None:
    said = typed("plan", recipe(tmp_path, "separate", head=False))

    assert said.code == 2
    assert "no tensor of the source would be in mtp" in said.err
