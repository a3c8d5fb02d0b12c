"""A model in Mistral's own layout: params.json, consolidated weights of chance and tekken.json."""

from __future__ import annotations

import base64
import json
from itertools import product
from pathlib import Path

import numpy as np

from tests.support.quantized_models import write_stored
from tests.support.vision_models import write_json

WIDTH, INNER, HEADS, KEYS, HEAD, LAYERS, SPECIAL, VOCABULARY = 256, 512, 4, 2, 64, 2, 32, 512


def write_mistral_model(folder: Path, *, parts: int = 1, seed: int = 0) -> Path:
    """Write the model's folder, its weights in one file or in ``parts``."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"dim": WIDTH, "hidden_dim": INNER, "head_dim": HEAD, "n_layers": LAYERS}
    heads = {"n_heads": HEADS, "n_kv_heads": KEYS, "norm_eps": 1e-5, "vocab_size": VOCABULARY}
    more = {"rope_theta": 1e6, "max_position_embeddings": 4096}
    write_json(folder / "params.json", {**sizes, **heads, **more})
    _write_tekken(folder / "tekken.json")
    chance = np.random.default_rng(seed)
    stored = {
        name: ("F16", chance.normal(0, 0.05, shape).astype(np.float16))
        for name, shape in _shapes().items()
    }
    names = ["consolidated.safetensors"]
    if parts > 1:
        names = [f"consolidated-{n + 1:05}-of-{parts:05}.safetensors" for n in range(parts)]
        places = {name: names[at % parts] for at, name in enumerate(stored)}
        write_json(folder / "consolidated.safetensors.index.json", {"weight_map": places})
    for at, name in enumerate(names):
        write_stored(folder / name, dict(list(stored.items())[at::parts]))
    return folder


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "tok_embeddings.weight": (VOCABULARY, WIDTH),
        "output.weight": (VOCABULARY, WIDTH),
        "norm.weight": (WIDTH,),
    }
    for layer in range(LAYERS):
        block = f"layers.{layer}."
        shapes |= {f"{block}{one}_norm.weight": (WIDTH,) for one in ("attention", "ffn")}
        for one, heads in (("q", HEADS), ("k", KEYS), ("v", KEYS)):
            shapes[f"{block}attention.w{one}.weight"] = (heads * HEAD, WIDTH)
        shapes[f"{block}attention.wo.weight"] = (WIDTH, HEADS * HEAD)
        shapes |= {f"{block}feed_forward.w{n}.weight": (INNER, WIDTH) for n in (1, 3)}
        shapes[f"{block}feed_forward.w2.weight"] = (WIDTH, INNER)
    return shapes


def _write_tekken(path: Path) -> None:
    """A tokenizer of all bytes and some pairs of letters."""
    pairs = product(b"etaoinshrdlucmfw ", b"aeiounrstlhdgypm")
    plain = [bytes([n]) for n in range(256)] + [bytes(pair) for pair in pairs]
    vocabulary = [
        {"rank": rank, "token_bytes": base64.b64encode(one).decode(), "token_str": None}
        for rank, one in enumerate(plain[: VOCABULARY - SPECIAL])
    ]
    config = {
        "pattern": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+",
        "num_vocab_tokens": len(vocabulary),
        "default_vocab_size": VOCABULARY,
        "default_num_special_tokens": SPECIAL,
        "version": "v3",
    }
    path.write_text(json.dumps({"config": config, "vocab": vocabulary}), encoding="utf-8")
