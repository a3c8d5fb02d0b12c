"""Exact sizes of GGML files of 2023, from the shapes of a model or from its F16 file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.modelfiles import ggml_types
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.ggml import ALIGNMENT, GGMLFile

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


def simple_types(tensors: Shapes, kind: str, layout: ggml_types.Layout) -> dict[str, str]:
    """Type of each tensor when a whole file gets ``kind`` (Q4_0, Q8_0, F16, ...).

    Matrices named ``...weight`` get it, all else stays F32. The quantizer of ggjt v3 gives
    ``output.weight`` Q6_K where its rows and columns are multiples of 256. The mixtures of
    the k-quants (Q4_K_M and so on) are not described here.
    """
    types = {}
    for name, shape in tensors:
        matrix = len(shape) == 2 and name.endswith("weight")
        types[name] = kind if matrix else "F32"
        fits = matrix and not any(one % _K_BLOCK for one in shape)
        quantized = ggml_types.type_by_name(kind, layout).block > 1
        if layout == "ggjt-v3" and name == "output.weight" and fits and quantized:
            types[name] = "Q6_K"
    return types


def predicted_size_llama(size: Dimensions, kind: str, layout: ggml_types.Layout) -> int:
    """Bytes of a llama file in which all matrices have the type ``kind``.

    ``layout`` is one of ggjt-v1, ggjt-v2, ggjt-v3.

    Raises:
        FormatError: The type is unknown to the layout, or rows do not fill its blocks.
    """
    tensors = list(llama_tensors(size))
    head = 4 + 4 + 7 * 4 + 8 * size.n_vocab + size.vocab_bytes
    return _append(head, tensors, simple_types(tensors, kind, layout), layout, ALIGNMENT)


def predicted_size_bloom(size: Dimensions, kind: str) -> int:
    """Bytes of a bloomz.cpp file in which all matrices have the type ``kind``.

    Raises:
        FormatError: The type is none of F32, F16, Q4_0, Q4_1, or rows do not fill its blocks.
    """
    tensors = list(bloom_tensors(size))
    head = 4 + 6 * 4 + 4 * size.n_vocab + size.vocab_bytes
    return _append(head, tensors, simple_types(tensors, kind, "bloomz"), "bloomz", 1)


def predicted_size(file: GGMLFile, types: Mapping[str, str], layout: ggml_types.Layout) -> int:
    """Bytes of what the era's quantizer writes from ``file`` when tensors get ``types``.

    llama.cpp's quantizer always writes ggjt with scores, whatever the input was; tensors
    without an entry in ``types`` keep their type.
    """
    bloom = file.family == "bloom"
    head = 4 + 6 * 4 + 4 * file.n_vocab if bloom else 4 + 4 + 7 * 4 + 8 * file.n_vocab
    tensors = [(one.name, one.shape) for one in file.tensors]
    unknown = sorted(types.keys() - {name for name, _ in tensors})
    if unknown:
        raise FormatError(f"{file.path} has no tensor {unknown[0]!r}")
    chosen = {one.name: types.get(one.name, one.type) for one in file.tensors}
    return _append(head + file.vocab_bytes, tensors, chosen, layout, 1 if bloom else ALIGNMENT)


def _append(
    position: int,
    tensors: Shapes,
    types: Mapping[str, str],
    layout: ggml_types.Layout,
    alignment: int,
) -> int:
    for name, shape in tensors:
        position += 12 + 4 * len(shape) + len(name.encode())
        position = -(-position // alignment) * alignment
        position += ggml_types.tensor_bytes(types[name], shape, layout)
    return position
