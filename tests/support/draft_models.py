"""A model with a head that predicts further tokens, laid out as GLM-4.5-Air's repository is:
the tiny chatglm's tokenizer, and weights of chance."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.support.typed_commands import MODELS
from tests.support.vision_models import write_json, write_tensors

WIDTH, INNER, EXPERT, HEADS, KEYS, HEAD, EXPERTS, LAYERS = 256, 512, 256, 4, 2, 64, 4, 2
HEAD_LAYER = f"model.layers.{LAYERS}."


def write_draft_model(folder: Path, *, head: bool = True, seed: int = 0) -> Path:
    """Write the model's folder; without ``head`` its tensors are left out."""
    shutil.copytree(MODELS / "chatglm", folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    vocabulary = config["vocab_size"]
    changed = {
        "architectures": ["Glm4MoeForCausalLM"],
        "model_type": "glm4_moe",
        "first_k_dense_replace": 1,
        "n_routed_experts": EXPERTS,
        "n_shared_experts": 1,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": EXPERT,
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.0,
        "num_nextn_predict_layers": 1,
        "use_qk_norm": False,
    }
    write_json(folder / "config.json", {**config, **changed})
    chance = np.random.default_rng(seed)
    shapes = dict(_shapes(vocabulary))
    write_tensors(
        folder / "model.safetensors",
        {
            name: (np.ones(shape) if "norm" in name else chance.normal(0, 0.05, shape)).astype(
                np.float16
            )
            for name, shape in shapes.items()
            if head or not name.startswith(HEAD_LAYER)
        },
    )
    return folder


def _shapes(vocabulary: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (vocabulary, WIDTH)
    yield "model.norm.weight", (WIDTH,)
    yield "lm_head.weight", (vocabulary, WIDTH)
    for layer in range(LAYERS + 1):
        block = f"model.layers.{layer}."
        yield from _attention(block)
        yield from _dense(f"{block}mlp.", INNER) if not layer else _mixture(f"{block}mlp.")
    for norm in ("enorm", "hnorm", "shared_head.norm"):
        yield f"{HEAD_LAYER}{norm}.weight", (WIDTH,)
    yield f"{HEAD_LAYER}eh_proj.weight", (WIDTH, 2 * WIDTH)


def _attention(block: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for norm in ("input_layernorm", "post_attention_layernorm"):
        yield f"{block}{norm}.weight", (WIDTH,)
    for one, heads in (("q", HEADS), ("k", KEYS), ("v", KEYS)):
        yield f"{block}self_attn.{one}_proj.weight", (heads * HEAD, WIDTH)
        yield f"{block}self_attn.{one}_proj.bias", (heads * HEAD,)
    yield f"{block}self_attn.o_proj.weight", (WIDTH, HEADS * HEAD)


def _dense(place: str, inner: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{place}gate_proj.weight", (inner, WIDTH)
    yield f"{place}up_proj.weight", (inner, WIDTH)
    yield f"{place}down_proj.weight", (WIDTH, inner)


def _mixture(place: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{place}gate.weight", (EXPERTS, WIDTH)
    yield f"{place}gate.e_score_correction_bias", (EXPERTS,)
    yield from _dense(f"{place}shared_experts.", EXPERT)
    for expert in range(EXPERTS):
        yield from _dense(f"{place}experts.{expert}.", EXPERT)
