"""A model that sees pictures, laid out as SmolVLM's repositories are: the tiny llama's text
weights, and an image part of chance."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.modelfiles import safetensors
from tests.support.typed_commands import MODELS

WIDTH, INNER, LAYERS, IMAGE, PATCH, SCALE = 64, 128, 2, 64, 16, 2
# What is put around pictures; their number keeps rows of whole blocks.
ADDED = (
    *("<image>", "<fake_token_around_image>", "<global-img>", "\n\n", "\n"),
    *(f"<row_1_col_{column}>" for column in range(1, 28)),
)
TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %} {% endfor %}"
)


def write_vision_model(folder: Path, seed: int = 0) -> Path:
    """Write the model's folder; one ``seed``, one content."""
    text = json.loads((MODELS / "llama" / "config.json").read_text("utf-8"))
    shutil.copytree(MODELS / "llama", folder, dirs_exist_ok=True)
    added = {token: text["vocab_size"] + at for at, token in enumerate(ADDED)}
    text["vocab_size"] += len(ADDED)
    weights = dict(_text(folder / "model.safetensors")) | dict(_vision(seed, text["hidden_size"]))
    write_tensors(folder / "model.safetensors", weights)
    named = "SmolVLMForConditionalGeneration"
    vision = {
        "model_type": "smolvlm_vision",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "image_size": IMAGE,
        "patch_size": PATCH,
    }
    config = {
        "architectures": [named],
        "model_type": "smolvlm",
        "scale_factor": SCALE,
        "text_config": {**text, "architectures": ["VLlama3ForCausalLM"]},
        "vision_config": vision,
        "image_token_id": added["<image>"],
        "tie_word_embeddings": False,
        "vocab_size": text["vocab_size"],
    }
    write_json(folder / "config.json", config)
    write_json(folder / "added_tokens.json", added)
    half = [0.5, 0.5, 0.5]
    size = {"longest_edge": IMAGE}
    write_json(
        folder / "preprocessor_config.json",
        {"image_mean": half, "image_std": half, "size": size, "max_image_size": size},
    )
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    write_json(folder / "tokenizer_config.json", {**tokenizer, "chat_template": TEMPLATE})
    return folder


def write_json(path: Path, content: object) -> None:
    """A JSON file as repositories have them."""
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _text(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """The llama's tensors under the names that they have beside an image part."""
    whole = path.read_bytes()
    header = safetensors.read_header(path)
    for one in header.tensors:
        start, end = header.data_offset + one.start, header.data_offset + one.end
        data = np.frombuffer(whole[start:end], np.float16)
        name = one.name.replace("model.", "model.text_model.", 1)
        matrix = data.reshape(one.shape)
        if "embed_tokens" in name or "lm_head" in name:
            matrix = np.pad(matrix, ((0, len(ADDED)), (0, 0)))
        yield name, matrix


def _vision(seed: int, text_width: int) -> Iterator[tuple[str, NDArray[Any]]]:
    chance = np.random.default_rng(seed)
    base = "model.vision_model."
    shapes: dict[str, tuple[int, ...]] = {
        f"{base}embeddings.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
        f"{base}embeddings.patch_embedding.bias": (WIDTH,),
        f"{base}embeddings.position_embedding.weight": ((IMAGE // PATCH) ** 2, WIDTH),
        "model.connector.modality_projection.proj.weight": (text_width, WIDTH * SCALE**2),
    }
    norms = [f"{base}post_layernorm"]
    for layer in range(LAYERS):
        block = f"{base}encoder.layers.{layer}."
        norms += [f"{block}layer_norm1", f"{block}layer_norm2"]
        matrices = [(f"self_attn.{one}_proj", WIDTH, WIDTH) for one in ("q", "k", "v", "out")]
        for name, rows, columns in (
            *matrices,
            ("mlp.fc1", INNER, WIDTH),
            ("mlp.fc2", WIDTH, INNER),
        ):
            shapes |= {f"{block}{name}.weight": (rows, columns), f"{block}{name}.bias": (rows,)}
    for name, shape in shapes.items():
        yield name, chance.normal(0, 0.1, shape).astype(np.float16)
    for name in norms:
        yield f"{name}.weight", chance.normal(1, 0.1, WIDTH).astype(np.float16)
        yield f"{name}.bias", chance.normal(0, 0.1, WIDTH).astype(np.float16)


def write_tensors(path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    """A safetensors file of tensors of floats (F16, F32) or whole numbers (I64)."""
    listed = [
        (name, f"{data.dtype.kind.upper()}{8 * data.itemsize}", data.shape)
        for name, data in tensors.items()
    ]
    start, _ = safetensors.build_header(listed)
    path.write_bytes(start + b"".join(data.tobytes() for data in tensors.values()))
