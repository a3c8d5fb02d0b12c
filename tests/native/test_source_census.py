"""Every tensor of a checkpoint is found in the converted file, or missed before it is made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.modelfiles import safetensors
from tests.support.typed_commands import MODELS, Said, artifacts, typed, variant

PLAIN = {"verify": None, "imatrix": None, "quantize": ["Q8_0"]}
_EXPERTS = {
    f"block_sparse_moe.experts.{n}.w{w}.weight": [256, 256] for n in range(3) for w in (1, 2, 3)
}


@pytest.fixture(autouse=True)
def _built(store_with: Callable[..., Path]) -> None:
    store_with("llama.cpp")


def copy_of(
    folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]], **config: Any
) -> Path:
    """The tiny llama with other tensors, all of them holes, and another config.json."""
    shutil.copytree(MODELS / "llama", folder)
    found = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(found | config), encoding="utf-8")
    path = folder / "model.safetensors"
    shapes = {one.name: list(one.shape) for one in safetensors.read_header(path).tensors}
    path.unlink()
    head, size = safetensors_head(change(shapes))
    safetensors.write_hole(head, size, path)
    return folder


def safetensors_head(shapes: Mapping[str, Sequence[int]]) -> tuple[bytes, int]:
    """The header of a file of F16 tensors, and its size."""
    entries, end = {}, 0
    for name, shape in shapes.items():
        size = 2
        for extent in shape:
            size *= extent
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text, 8 + len(text) + end


def planned(folder: Path, model: Path, **fields: Any) -> Said:
    return typed("plan", variant(folder, {"model": {"path": str(model)}, **PLAIN, **fields}))


def counted(home: Path) -> dict[str, Any]:
    """What the one census of a store says."""
    [folder] = artifacts(home)["census"]
    text = (folder / "files" / "census.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def test_planted_tensors_are_missed_at_plan_unless_the_recipe_drops_them(tmp_path: Path) -> None:
    extra = {f"model.vision_tower.layers.{n}.q.weight": [256, 256] for n in range(2)}
    model = copy_of(tmp_path / "model", lambda shapes: shapes | extra)

    lost = planned(tmp_path, model)
    assert lost.code == 2
    assert "leave out 2 tensors of the source's 23" in lost.err
    assert "2 of model.vision_tower.layers.*.q.weight" in lost.err
    assert planned(tmp_path, model, convert={"drop": ["vision_tower"]}).code == 0


def test_a_tensor_that_has_no_place_is_named_at_plan(tmp_path: Path) -> None:
    extra = {"mtp.0.eh_proj.weight": [256, 512]}
    model = copy_of(tmp_path / "model", lambda shapes: shapes | extra)

    said = planned(tmp_path, model)

    assert said.code == 1
    assert "the converter has no place for the tensor mtp.0.eh_proj.weight" in said.err


def test_buffers_of_older_checkpoints_are_no_loss(tmp_path: Path) -> None:
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": [32]}

    said = planned(tmp_path, copy_of(tmp_path / "model", lambda shapes: shapes | extra))

    assert said.code == 0, said.all


def test_each_expert_is_found_in_what_it_was_merged_into(tmp_path: Path) -> None:
    def mixture(shapes: dict[str, Any]) -> dict[str, Any]:
        kept = {name: shape for name, shape in shapes.items() if ".mlp." not in name}
        for layer in range(2):
            of_layer = {**_EXPERTS, "block_sparse_moe.gate.weight": [3, 256]}
            kept |= {f"model.layers.{layer}.{name}": one for name, one in of_layer.items()}
        return kept

    config = {"num_local_experts": 3, "num_experts_per_tok": 2, "intermediate_size": 256}
    model = copy_of(
        tmp_path / "model",
        mixture,
        architectures=["MixtralForCausalLM"],
        model_type="mixtral",
        **config,
    )

    said = planned(tmp_path, model)

    assert said.code == 0, said.all
    found = counted(tmp_path / "store")
    assert found["dropped"] == []
    into = {name: found["into"][f"model.layers.1.{name}"] for name in _EXPERTS}
    assert set(map(tuple, into.values())) == {
        (f"blk.1.ffn_{part}_exps.weight",) for part in ("gate", "down", "up")
    }


def test_tensors_that_are_made_one_of_several_are_all_found(tmp_path: Path) -> None:
    model = copy_of(tmp_path / "model", lambda shapes: shapes)

    said = planned(tmp_path, model, convert={"fuse_qkv": True})

    assert said.code == 0, said.all
    into = counted(tmp_path / "store")["into"]
    parts = [into[f"model.layers.0.self_attn.{one}_proj.weight"] for one in "qkv"]
    assert parts == [["blk.0.attn_qkv.weight"]] * 3
