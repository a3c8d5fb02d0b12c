"""A model that hears, laid out as Qwen2-Audio's repositories are: the tiny chatglm's tokenizer,
and weights of chance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.support.hybrid_models import LAST, WORDS, write_tokenizer
from tests.support.vision_models import write_json, write_tensors

WIDTH, INNER, HEADS, LAYERS = 256, 512, 4, 2
# As many layers as the converter wants to find both convolutions.
HEARD, HEARD_INNER, HEARD_LAYERS, BINS, POSITIONS = 64, 128, 3, 128, 1500
_ADDED = ("<|im_start|>", "<|im_end|>", "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>")
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'audio' %}"
    "<|audio_bos|><|AUDIO|><|audio_eos|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_audio_model(folder: Path, seed: int = 0) -> Path:
    """Write the model's folder; one ``seed``, one content."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, _ADDED)
    write_json(folder / "chat_template.json", {"chat_template": _TEMPLATE})
    hearing = {
        "model_type": "qwen2_audio_encoder",
        "activation_function": "gelu",
        "d_model": HEARD,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": HEARD_INNER,
        "encoder_layers": HEARD_LAYERS,
        "max_source_positions": POSITIONS,
        "num_mel_bins": BINS,
    }
    text = {
        "model_type": "qwen2",
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "max_position_embeddings": 8192,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": HEADS,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000,
        "vocab_size": WORDS,
    }
    config = {
        "architectures": ["Qwen2AudioForConditionalGeneration"],
        "model_type": "qwen2_audio",
        "audio_config": hearing,
        "audio_token_index": LAST + 4,
        "text_config": text,
        "vocab_size": WORDS,
    }
    write_json(folder / "config.json", config)
    write_json(
        folder / "preprocessor_config.json",
        {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": BINS},
    )
    chance = np.random.default_rng(seed)
    shapes = {**dict(_text()), **dict(_hearing())}
    write_tensors(
        folder / "model.safetensors",
        {name: chance.normal(0, 0.05, shape).astype(np.float16) for name, shape in shapes.items()},
    )
    return folder


def _text() -> Iterator[tuple[str, tuple[int, ...]]]:
    base = "language_model."
    yield f"{base}lm_head.weight", (WORDS, WIDTH)
    yield f"{base}model.embed_tokens.weight", (WORDS, WIDTH)
    yield f"{base}model.norm.weight", (WIDTH,)
    for layer in range(LAYERS):
        block = f"{base}model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{block}{norm}.weight", (WIDTH,)
        for one in ("q", "k", "v"):
            yield f"{block}self_attn.{one}_proj.weight", (WIDTH, WIDTH)
            yield f"{block}self_attn.{one}_proj.bias", (WIDTH,)
        yield f"{block}self_attn.o_proj.weight", (WIDTH, WIDTH)
        for one in ("gate", "up", "down"):
            shape = (WIDTH, INNER) if one == "down" else (INNER, WIDTH)
            yield f"{block}mlp.{one}_proj.weight", shape


def _hearing() -> Iterator[tuple[str, tuple[int, ...]]]:
    base = "audio_tower."
    yield "multi_modal_projector.linear.weight", (WIDTH, HEARD)
    yield "multi_modal_projector.linear.bias", (WIDTH,)
    yield f"{base}embed_positions.weight", (POSITIONS, HEARD)
    for one, wide in (("conv1", BINS), ("conv2", HEARD)):
        yield f"{base}{one}.weight", (HEARD, wide, 3)
        yield f"{base}{one}.bias", (HEARD,)
    norms = [f"{base}layer_norm"]
    for layer in range(HEARD_LAYERS):
        block = f"{base}layers.{layer}."
        norms += [f"{block}self_attn_layer_norm", f"{block}final_layer_norm"]
        for one in ("q", "k", "v", "out"):
            yield f"{block}self_attn.{one}_proj.weight", (HEARD, HEARD)
            if one != "k":
                yield f"{block}self_attn.{one}_proj.bias", (HEARD,)
        for one, rows, columns in (("fc1", HEARD_INNER, HEARD), ("fc2", HEARD, HEARD_INNER)):
            yield f"{block}{one}.weight", (rows, columns)
            yield f"{block}{one}.bias", (rows,)
    for norm in norms:
        yield f"{norm}.weight", (HEARD,)
        yield f"{norm}.bias", (HEARD,)
