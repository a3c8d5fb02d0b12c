"""Two models on which the quantizer's mixes depend: grouped heads, and a mixture of experts.

Untrained, of the tiny llama's words, from a seed. Some mixes give other types to attention of which
four heads share a key, and to a model of eight experts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

TOKENIZER = Path(__file__).resolve().parents[1] / "recipes/tiny/models/llama/tokenizer.model"
WORDS, WIDTH, WIDE, LAYERS, HEADS, GROUPS, EXPERTS = 768, 256, 512, 8, 8, 2, 8
MIXTURE = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_local_experts": EXPERTS,
    "num_experts_per_tok": 2,
}
MIXES = ("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K")


def write(name: str, folder: Path) -> dict[str, Any]:
    """Make the model ``grouped`` or ``mixture`` and return a recipe of its mixes."""
    experts = name == "mixture"
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float16",
        "vocab_size": WORDS,
        "hidden_size": WIDTH,
        "intermediate_size": WIDE,
        "num_attention_heads": HEADS,
        "num_key_value_heads": GROUPS,
        "num_hidden_layers": LAYERS,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
    }
    text = json.dumps(config | (MIXTURE if experts else {}))
    (folder / "config.json").write_text(text, encoding="utf-8")
    shutil.copyfile(TOKENIZER, folder / "tokenizer.model")
    numbers = np.random.default_rng(11)
    save_file(
        {one: _values(numbers, shape) for one, shape in _shapes(experts=experts)},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    known = {"model": {"path": str(folder)}, "quantize": list(MIXES), "family": "llama"}
    return {"name": f"mix-{name}", "toolchain": "llama.cpp", **known}


def _values(numbers: np.random.Generator, shape: tuple[int, ...]) -> Any:
    if len(shape) == 1:
        return np.ones(shape, np.float16)
    return (0.05 * numbers.standard_normal(shape)).astype(np.float16)


def _shapes(*, experts: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (WORDS, WIDTH)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for part in "qkvo":
            rows = WIDTH // HEADS * GROUPS if part in "kv" else WIDTH
            yield f"{at}self_attn.{part}_proj.weight", (rows, WIDTH)
        if experts:
            yield f"{at}block_sparse_moe.gate.weight", (EXPERTS, WIDTH)
        for expert in range(EXPERTS if experts else 1):
            start = f"{at}block_sparse_moe.experts.{expert}." if experts else f"{at}mlp."
            names = ("w1", "w3", "w2") if experts else ("gate_proj", "up_proj", "down_proj")
            for name in names:
                down = name in ("w2", "down_proj")
                yield f"{start}{name}.weight", (WIDTH, WIDE) if down else (WIDE, WIDTH)
        yield f"{at}input_layernorm.weight", (WIDTH,)
        yield f"{at}post_attention_layernorm.weight", (WIDTH,)
    yield "model.norm.weight", (WIDTH,)
    yield "lm_head.weight", (WORDS, WIDTH)
