"""Adapter folders as peft lays them out, for the models of merge_pairs, without peft."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.merge_pairs import (
    FFN,
    HIDDEN,
    LAYERS,
    VOCABULARY,
    Tensor,
    Tensors,
    make,
    write_bin,
    write_safetensors,
)

PREFIX = "base_model.model."
# As peft 0.21.2 writes it, the lists and names beside.
CONFIG: Mapping[str, Any] = {
    "alora_invocation_tokens": None,
    "alpha_pattern": {},
    "auto_mapping": None,
    "base_model_name_or_path": "somebody/base",
    "bias": "none",
    "eva_config": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layer_replication": None,
    "loftq_config": {},
    "lora_alpha": 16,
    "lora_bias": False,
    "lora_dropout": 0.05,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "peft_type": "LORA",
    "peft_version": "0.21.2",
    "qalora_group_size": 16,
    "r": 4,
    "rank_pattern": {},
    "target_modules": ["q_proj"],
    "task_type": "CAUSAL_LM",
    "use_dora": False,
    "use_rslora": False,
}


def factors(
    module: str, rows: int, columns: int, rank: int = 4, seed: int = 7, *, dtype: str = "F32"
) -> Tensors:
    """The two matrices of one module's change, under the names that peft gives them."""
    return {
        f"{PREFIX}{module}.lora_A.weight": make(dtype, (rank, columns), seed),
        f"{PREFIX}{module}.lora_B.weight": make(dtype, (rows, rank), seed + 1),
    }


def write_adapter(
    folder: Path, tensors: Mapping[str, Tensor], kind: str = "safetensors", **config: Any
) -> Path:
    """An adapter's folder; ``kind`` is safetensors or bin, ``config`` changes CONFIG."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
    write = write_safetensors if kind == "safetensors" else write_bin
    write(folder / f"adapter_model.{kind}", tensors)
    return folder


def golden_adapters(folder: Path) -> list[Path]:
    """Two adapters for a model of merge_pairs, which scripts/golden_lora.py hands to peft."""
    first: Tensors = {}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        first |= factors(at + "self_attn.q_proj", HIDDEN, HIDDEN, seed=20 + layer)
        first |= factors(at + "mlp.down_proj", HIDDEN, FFN, seed=30 + layer, dtype="BF16")
    second = {
        f"{PREFIX}model.embed_tokens.lora_embedding_A": make("F32", (2, VOCABULARY), 40),
        f"{PREFIX}model.embed_tokens.lora_embedding_B": make("F32", (HIDDEN, 2), 41),
        f"{PREFIX}lm_head.weight": make("F32", (VOCABULARY, HIDDEN), 42),
    }
    small: dict[str, Any] = {"lora_alpha": 0.001, "use_rslora": True}
    names = ["q_proj", "down_proj"]
    saved: dict[str, Any] = {
        "target_modules": ["embed_tokens"],
        "modules_to_save": ["lm_head"],
        "r": 2,
    }
    return [
        write_adapter(folder / "first", first, target_modules=names, **small),
        write_adapter(folder / "second", second, "bin", **saved, lora_alpha=0.003),
    ]
