"""A model that sees pictures and has a head that predicts further tokens, laid out as the
repositories of Qwen3.5 are: the tiny chatglm's tokenizer, and weights of chance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.support.typed_commands import MODELS
from tests.support.vision_models import write_json, write_tensors

WIDTH, INNER, HEADS, KEYS, HEAD, WORDS = 256, 512, 2, 1, 128, 768
# Three layers of linear attention, then one of the usual; of the former, heads of this size.
LAYERS, LINEAR, CONVOLUTION = 4, 128, 4
SEEN, SEEN_INNER, SEEN_LAYERS, PATCH, MERGED, SIDE = 64, 128, 2, 16, 2, 16
LAST = 759  # of the tiny chatglm's tokens
_ADDED = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Its name in the repositories of one file, too, which have an index beside it.
WEIGHTS = "model.safetensors-00001-of-00001.safetensors"


def write_hybrid_model(folder: Path, seed: int = 1) -> Path:
    """Write the model's folder; one ``seed``, one content."""
    write_tokenizer(folder, _ADDED)
    text = {
        "model_type": "qwen3_5_text",
        "attn_output_gate": True,
        "eos_token_id": LAST + 2,
        "full_attention_interval": 4,
        "head_dim": HEAD,
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "layer_types": [*["linear_attention"] * 3, "full_attention"],
        "linear_conv_kernel_dim": CONVOLUTION,
        "linear_key_head_dim": LINEAR,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_value_head_dim": LINEAR,
        "max_position_embeddings": 4096,
        "mtp_num_hidden_layers": 1,
        "mtp_use_dedicated_embeddings": False,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KEYS,
        "rms_norm_eps": 1e-06,
        "rope_parameters": {
            "mrope_interleaved": True,
            "mrope_section": [6, 5, 5],
            "partial_rotary_factor": 0.25,
            "rope_theta": 10000000,
            "rope_type": "default",
        },
        "tie_word_embeddings": True,
        "vocab_size": WORDS,
    }
    seeing = {
        "model_type": "qwen3_5",
        "deepstack_visual_indexes": [],
        "depth": SEEN_LAYERS,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": SEEN,
        "in_channels": 3,
        "intermediate_size": SEEN_INNER,
        "num_heads": 4,
        "num_position_embeddings": SIDE**2,
        "out_hidden_size": WIDTH,
        "patch_size": PATCH,
        "spatial_merge_size": MERGED,
        "temporal_patch_size": 2,
    }
    config = {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "model_type": "qwen3_5",
        "image_token_id": LAST + 5,
        "text_config": text,
        "tie_word_embeddings": True,
        "vision_config": seeing,
        "vision_end_token_id": LAST + 4,
        "vision_start_token_id": LAST + 3,
    }
    write_json(folder / "config.json", config)
    half = [0.5, 0.5, 0.5]
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_mean": half,
            "image_std": half,
            "merge_size": MERGED,
            "patch_size": PATCH,
            "size": {"longest_edge": 16777216, "shortest_edge": 65536},
            "temporal_patch_size": 2,
        },
    )
    (folder / "chat_template.jinja").write_text(_TEMPLATE, encoding="utf-8")
    chance = np.random.default_rng(seed)
    shapes = {**dict(_text()), **dict(_head()), **dict(_seeing())}
    tensors = {
        name: chance.normal(0, 0.05, shape).astype(np.float16) for name, shape in shapes.items()
    }
    write_tensors(folder / WEIGHTS, tensors)
    index = {"metadata": {}, "weight_map": dict.fromkeys(sorted(tensors), WEIGHTS)}
    write_json(folder / "model.safetensors.index.json", index)
    return folder


def write_tokenizer(folder: Path, added: Sequence[str]) -> None:
    """The tiny chatglm's tokenizer with these tokens more; the first two begin and end turns."""
    tokenizer = json.loads((MODELS / "chatglm" / "tokenizer.json").read_text("utf-8"))
    kind = tokenizer["added_tokens"][-1]
    tokens = [{**kind, "id": LAST + 1 + at, "content": text} for at, text in enumerate(added)]
    tokenizer["added_tokens"] += tokens
    write_json(folder / "tokenizer.json", tokenizer)
    configured = {"eos_token": added[1], "pad_token": "<|endoftext|>"}
    write_json(
        folder / "tokenizer_config.json", {**configured, "tokenizer_class": "Qwen2Tokenizer"}
    )


def _text() -> Iterator[tuple[str, tuple[int, ...]]]:
    base = "model.language_model."
    yield f"{base}embed_tokens.weight", (WORDS, WIDTH)
    yield f"{base}norm.weight", (WIDTH,)
    for layer in range(LAYERS):
        block = f"{base}layers.{layer}."
        yield from _around(block)
        yield from _linear(f"{block}linear_attn.") if layer < LAYERS - 1 else _attention(block)


def _head() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "mtp.fc.weight", (WIDTH, 2 * WIDTH)
    for norm in ("norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden"):
        yield f"mtp.{norm}.weight", (WIDTH,)
    yield from _around("mtp.layers.0.")
    yield from _attention("mtp.layers.0.")


def _around(block: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for norm in ("input_layernorm", "post_attention_layernorm"):
        yield f"{block}{norm}.weight", (WIDTH,)
    for one in ("gate", "up", "down"):
        shape = (WIDTH, INNER) if one == "down" else (INNER, WIDTH)
        yield f"{block}mlp.{one}_proj.weight", shape


def _attention(block: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """With a gate of the queries' size beside them."""
    for one, rows in (("q", 2 * HEADS * HEAD), ("k", KEYS * HEAD), ("v", KEYS * HEAD)):
        yield f"{block}self_attn.{one}_proj.weight", (rows, WIDTH)
    yield f"{block}self_attn.o_proj.weight", (WIDTH, HEADS * HEAD)
    for one in ("q", "k"):
        yield f"{block}self_attn.{one}_norm.weight", (HEAD,)


def _linear(place: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    inner = 2 * LINEAR
    yield f"{place}A_log", (2,)
    yield f"{place}dt_bias", (2,)
    yield f"{place}conv1d.weight", (3 * inner, 1, CONVOLUTION)
    for one, rows in (("qkv", 3 * inner), ("z", inner), ("a", 2), ("b", 2)):
        yield f"{place}in_proj_{one}.weight", (rows, WIDTH)
    yield f"{place}norm.weight", (LINEAR,)
    yield f"{place}out_proj.weight", (WIDTH, inner)


def _seeing() -> Iterator[tuple[str, tuple[int, ...]]]:
    base = "model.visual."
    yield f"{base}patch_embed.proj.weight", (SEEN, 3, 2, PATCH, PATCH)
    yield f"{base}patch_embed.proj.bias", (SEEN,)
    yield f"{base}pos_embed.weight", (SIDE**2, SEEN)
    wide = SEEN * MERGED**2
    parts = [("merger.linear_fc1", wide, wide), ("merger.linear_fc2", WIDTH, wide)]
    norms = ["merger.norm"]
    for layer in range(SEEN_LAYERS):
        block = f"blocks.{layer}."
        norms += [f"{block}norm1", f"{block}norm2"]
        parts += [(f"{block}attn.qkv", 3 * SEEN, SEEN), (f"{block}attn.proj", SEEN, SEEN)]
        parts += [(f"{block}mlp.linear_fc1", SEEN_INNER, SEEN)]
        parts += [(f"{block}mlp.linear_fc2", SEEN, SEEN_INNER)]
    for name, rows, columns in parts:
        yield f"{base}{name}.weight", (rows, columns)
        yield f"{base}{name}.bias", (rows,)
    for norm in norms:
        yield f"{base}{norm}.weight", (SEEN,)
        yield f"{base}{norm}.bias", (SEEN,)
