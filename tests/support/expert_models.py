"""A mixture of experts laid out as OLMoE's repository is: the tiny bloom's tokenizer, and
weights of chance."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.support.typed_commands import MODELS
from tests.support.vision_models import write_json, write_tensors

WIDTH, EXPERT, HEADS, EXPERTS, LAYERS = 256, 256, 4, 8, 2


def write_mixture(folder: Path, weights: Path, seed: int = 0) -> Path:
    """Write the model's folder but its weights, which go to ``weights``."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(MODELS / "bloom" / name, folder / name)
    words = json.loads((MODELS / "bloom" / "config.json").read_text("utf-8"))["vocab_size"]
    write_json(
        folder / "config.json",
        {
            "architectures": ["OlmoeForCausalLM"],
            "model_type": "olmoe",
            "attention_bias": False,
            "clip_qkv": None,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": WIDTH,
            "intermediate_size": EXPERT,
            "max_position_embeddings": 4096,
            "norm_topk_prob": False,
            "num_attention_heads": HEADS,
            "num_experts": EXPERTS,
            "num_experts_per_tok": 2,
            "num_hidden_layers": LAYERS,
            "num_key_value_heads": HEADS,
            "pad_token_id": 1,
            "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "vocab_size": words,
        },
    )
    chance = np.random.default_rng(seed)
    write_tensors(
        weights,
        {
            name: (np.ones(shape) if "norm" in name else chance.normal(0, 0.05, shape)).astype(
                np.float16
            )
            for name, shape in _shapes(words)
        },
    )
    return weights


def _shapes(words: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (words, WIDTH)
    yield "model.norm.weight", (WIDTH,)
    yield "lm_head.weight", (words, WIDTH)
    for layer in range(LAYERS):
        block = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{block}{norm}.weight", (WIDTH,)
        for one in ("q", "k", "v", "o"):
            yield f"{block}self_attn.{one}_proj.weight", (WIDTH, WIDTH)
        for one in ("q", "k"):
            yield f"{block}self_attn.{one}_norm.weight", (WIDTH,)
        yield f"{block}mlp.gate.weight", (EXPERTS, WIDTH)
        for expert in range(EXPERTS):
            for one in ("gate", "up", "down"):
                shape = (WIDTH, EXPERT) if one == "down" else (EXPERT, WIDTH)
                yield f"{block}mlp.experts.{expert}.{one}_proj.weight", shape
