"""Untrained llama models in the layout of Hugging Face, without torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

TINY = Path(__file__).resolve().parents[2] / "recipes" / "tiny" / "models"
WORDS = 768  # of the tiny llama's tokenizer


def llama_shapes(layers: int, width: int, wide: int, rows: int) -> Iterator[tuple[str, list[int]]]:
    """Names and shapes of all weights."""
    yield "model.embed_tokens.weight", [rows, width]
    for layer in range(layers):
        start = f"model.layers.{layer}."
        for part in "qkvo":
            yield f"{start}self_attn.{part}_proj.weight", [width, width]
        yield f"{start}mlp.gate_proj.weight", [wide, width]
        yield f"{start}mlp.up_proj.weight", [wide, width]
        yield f"{start}mlp.down_proj.weight", [width, wide]
        yield f"{start}input_layernorm.weight", [width]
        yield f"{start}post_attention_layernorm.weight", [width]
    yield "model.norm.weight", [width]
    yield "lm_head.weight", [rows, width]


def write_llama(
    folder: Path,
    *,
    layers: int = 1,
    width: int = 256,
    wide: int = 768,
    heads: int = 4,
    added: int = 0,
    shards: int = 1,
) -> Path:
    """Write config, tokenizer and F16 weights; ``added`` rows are for tokens of one's own."""
    folder.mkdir(parents=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": WORDS + added,
        "hidden_size": width,
        "intermediate_size": wide,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "num_hidden_layers": layers,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shutil.copyfile(TINY / "llama" / "tokenizer.model", folder / "tokenizer.model")
    if added:
        extra = {f"<added{index}>": WORDS + index for index in range(added)}
        (folder / "added_tokens.json").write_text(json.dumps(extra), encoding="utf-8")
    _write_weights(folder, list(llama_shapes(layers, width, wide, WORDS + added)), shards)
    return folder


def _write_weights(folder: Path, shapes: list[tuple[str, list[int]]], shards: int) -> None:
    numbers = np.random.default_rng(1)
    places: dict[str, str] = {}
    for index in range(shards):
        file = f"model-{index + 1:05}-of-{shards:05}.safetensors"
        file = "model.safetensors" if shards == 1 else file
        mine = {
            name: np.ones(shape, np.float16)
            if len(shape) == 1
            else (0.05 * numbers.standard_normal(shape)).astype(np.float16)
            for name, shape in shapes[index::shards]
        }
        save_file(mine, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(mine, file)
    if shards > 1:
        table = json.dumps({"metadata": {}, "weight_map": places})
        (folder / "model.safetensors.index.json").write_text(table, encoding="utf-8")
