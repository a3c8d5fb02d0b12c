"""Exact sizes of GGML files of 2023 from the shapes of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.modelfiles import ggml_types
from orchestrator.modelfiles.ggml import ALIGNMENT
from orchestrator.modelfiles.ggml_types import Layout

Shapes = Iterable[tuple[str, tuple[int, ...]]]

_K_BLOCK = 256


@dataclass(frozen=True)
class Dimensions:
    """What the size of a model's file depends on.

    Attributes:
        n_vocab: Tokens.
        n_embd: Width of the model.
        n_ff: Width of the feed-forward layer.
        n_layer: Layers.
        vocab_bytes: Bytes of all tokens' texts (LLaMA's 32,000 tokens have 176,574).
        kv_width: Rows of the key and value matrices; 0 for ``n_embd`` (no grouping).
    """

    n_vocab: int
    n_embd: int
    n_ff: int
    n_layer: int
    vocab_bytes: int
    kv_width: int = 0


def llama_tensors(size: Dimensions) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes (row length first) of a LLaMA in the order convert.py writes them."""
    embd, ff, kv = size.n_embd, size.n_ff, size.kv_width or size.n_embd
    yield "tok_embeddings.weight", (embd, size.n_vocab)
    yield "norm.weight", (embd,)
    yield "output.weight", (embd, size.n_vocab)
    layer = {
        "attention.wq": (embd, embd),
        "attention.wk": (embd, kv),
        "attention.wv": (embd, kv),
        "attention.wo": (embd, embd),
        "attention_norm": (embd,),
        "feed_forward.w1": (embd, ff),
        "feed_forward.w2": (ff, embd),
        "feed_forward.w3": (embd, ff),
        "ffn_norm": (embd,),
    }
    for index in range(size.n_layer):
        for name, shape in layer.items():
            yield f"layers.{index}.{name}.weight", shape


def bloom_tensors(size: Dimensions) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a BLOOM as bloomz.cpp's converter writes them (output included)."""
    embd, ff = size.n_embd, size.n_ff
    yield "tok_embeddings.weight", (embd, size.n_vocab)
    yield from _with_bias("norm", (embd,), embd)
    layer: dict[str, tuple[int, ...]] = {
        "attention_norm": (embd,),
        "attention.query_key_value": (embd, 3 * embd),
        "attention.wo": (embd, embd),
        "ffn_norm": (embd,),
        "feed_forward.w1": (embd, ff),
        "feed_forward.w2": (ff, embd),
    }
    for index in range(size.n_layer):
        for name, shape in layer.items():
            yield from _with_bias(f"layers.{index}.{name}", shape, shape[-1])
    yield from _with_bias("output_norm", (embd,), embd)
    yield "output.weight", (embd, size.n_vocab)


def _with_bias(
    name: str, shape: tuple[int, ...], bias: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", (bias,)


def llama_size(size: Dimensions, kind: str, layout: Layout) -> int:
    """Bytes of a llama file in which all matrices have the type ``kind``."""
    tensors = list(llama_tensors(size))
    head = 4 + 4 + 7 * 4 + 8 * size.n_vocab + size.vocab_bytes
    return head + _tensors(head, tensors, kind, layout, ALIGNMENT)


def bloom_size(size: Dimensions, kind: str) -> int:
    """Bytes of a bloomz.cpp file in which all matrices have the type ``kind``."""
    tensors = list(bloom_tensors(size))
    head = 4 + 6 * 4 + 4 * size.n_vocab + size.vocab_bytes
    return head + _tensors(head, tensors, kind, "bloomz", 1)


def types_of(shapes: Shapes, kind: str, layout: Layout) -> dict[str, str]:
    """Type of each tensor when a whole file gets ``kind`` (Q4_0, Q8_0, F16, ...).

    Matrices named ``...weight`` get it, all else stays F32. The quantizer of ggjt v3 gives
    ``output.weight`` Q6_K where its rows and columns are multiples of 256.
    """
    types = {}
    for name, shape in shapes:
        matrix = len(shape) == 2 and name.endswith("weight")
        types[name] = kind if matrix else "F32"
        fits = matrix and not any(one % _K_BLOCK for one in shape)
        if layout == "ggjt-v3" and name == "output.weight" and fits and kind != "F16":
            types[name] = "Q6_K"
    return types


def _tensors(
    start: int,
    tensors: list[tuple[str, tuple[int, ...]]],
    kind: str,
    layout: Layout,
    alignment: int,
) -> int:
    types, position = types_of(tensors, kind, layout), start
    for name, shape in tensors:
        position += 12 + 4 * len(shape) + len(name.encode())
        position = -(-position // alignment) * alignment
        position += ggml_types.tensor_bytes(types[name], shape, layout)
    return position - start
