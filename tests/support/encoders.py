"""A small BERT with weights of chance as a GGUF file, whole enough for upstream to load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_LETTERS = [chr(one) for one in range(ord("a"), ord("z") + 1)]
_WIDTH, _INNER, _LAYERS, _POSITIONS = 64, 128, 2, 128
_CONTROL, _NORMAL = 3, 1


def write_encoder(path: Path, *, ranks: bool = False, seed: int = 0) -> Path:
    """Write it; with ``ranks`` it has a classifier's output and is a reranker."""
    tokens = [*_SPECIAL, *(f"\u2581{one}" for one in _LETTERS), *_LETTERS]
    writer = GGUFWriter(path, "bert")
    writer.add_name("chance")
    writer.add_context_length(_POSITIONS)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_INNER)
    writer.add_block_count(_LAYERS)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(tokens)
    writer.add_token_types([_CONTROL] * len(_SPECIAL) + [_NORMAL] * (len(tokens) - len(_SPECIAL)))
    for at, name in enumerate(("padding", "unknown", "bos", "seperator", "mask")):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", at)
    chance = np.random.default_rng(seed)
    for name, shape in _shapes(len(tokens), ranks=ranks).items():
        matrix = len(shape) > 1 and not name.startswith(("position", "token_types"))
        data = chance.normal(0, 0.3, shape).astype(np.float16 if matrix else np.float32)
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes(tokens: int, *, ranks: bool) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (tokens, _WIDTH),
        "position_embd.weight": (_POSITIONS, _WIDTH),
        "token_types.weight": (2, _WIDTH),
        "token_embd_norm.weight": (_WIDTH,),
        "token_embd_norm.bias": (_WIDTH,),
    }
    for layer in range(_LAYERS):
        block = f"blk.{layer}."
        for part, rows, columns in (
            ("attn_q", _WIDTH, _WIDTH),
            ("attn_k", _WIDTH, _WIDTH),
            ("attn_v", _WIDTH, _WIDTH),
            ("attn_output", _WIDTH, _WIDTH),
            ("ffn_up", _INNER, _WIDTH),
            ("ffn_down", _WIDTH, _INNER),
        ):
            found |= {f"{block}{part}.weight": (rows, columns), f"{block}{part}.bias": (rows,)}
        for norm in ("attn_output_norm", "layer_output_norm"):
            found |= {f"{block}{norm}.{part}": (_WIDTH,) for part in ("weight", "bias")}
    if ranks:
        found |= {"cls.output.weight": (1, _WIDTH), "cls.output.bias": (1,)}
    return found
