"""Headers of a small llama, sound but for what a test changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.modelfiles import gguf
from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_bytes

FIELDS: Mapping[str, KV] = {
    "general.architecture": KV("str", "llama"),
    "llama.block_count": KV("u32", 2),
    "llama.context_length": KV("u32", 512),
    "llama.embedding_length": KV("u32", 64),
    "llama.attention.head_count": KV("u32", 4),
    "llama.attention.head_count_kv": KV("u32", 2),
    "tokenizer.ggml.model": KV("str", "llama"),
    "tokenizer.ggml.tokens": KV("arr", ["a", "b", "c"], "str"),
}
SHAPES: Mapping[str, tuple[int, ...]] = {
    "token_embd.weight": (64, 3),
    "blk.0.attn_norm.weight": (64,),
    "blk.0.attn_q.weight": (64, 64),
    "blk.0.attn_k.weight": (64, 32),
    "blk.0.attn_v.weight": (64, 32),
    "blk.1.attn_q.weight": (64, 64),
}


def llama_header(
    folder: Path,
    fields: Mapping[str, KV | None] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> gguf.GGUF:
    """A header like that of a sound llama, but for these fields (None: left out) and shapes."""
    merged = {**FIELDS, **(fields or {})}
    kept = {name: value for name, value in merged.items() if value is not None}
    tensors = [Tensor(name, shape) for name, shape in {**SHAPES, **(shapes or {})}.items()]
    path = folder / "header.gguf"
    path.write_bytes(gguf_bytes(GGUFSpec(kept, tensors)))
    return gguf.read(path)
