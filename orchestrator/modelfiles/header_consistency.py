"""What a GGUF header contradicts itself in: such a file cannot be loaded, whatever it weighs.

The rules are those that llama.cpp holds a file to when it loads it. Where an architecture has
its own way (numbers by layer, layers for speculative decoding) nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.modelfiles.gguf import GGUF, ArrayInfo, Value

_BLOCK = re.compile(r"(?:^|\.)blk\.(\d+)\.")
_SHOWN = 4
_MATRIX = 2


@dataclass(frozen=True)
class _Model:
    """Numbers of the architecture and shapes of the tensors, by their names."""

    architecture: str
    metadata: Mapping[str, Value]
    shapes: Mapping[str, tuple[int, ...]]

    def number(self, name: str) -> int | None:
        """A whole number of the architecture; None where it has none, or one a layer."""
        found = self.metadata.get(f"{self.architecture}.{name}")
        return found if type(found) is int else None


def problems(file: GGUF) -> tuple[str, ...]:
    """Sentences, without a full stop, about everything in the header that does not fit."""
    architecture = str(file.metadata.get("general.architecture", ""))
    model = _Model(architecture, file.metadata, {one.name: one.shape for one in file.tensors})
    return (*_blocks(model), *_tokenizer(model), *_vocabulary(model), *_heads(model))


def context_length(file: GGUF) -> int | None:
    """How many tokens the model was made for; None where the header does not say."""
    architecture = str(file.metadata.get("general.architecture"))
    return _Model(architecture, file.metadata, {}).number("context_length")


def has_learned_positions(file: GGUF) -> bool:
    """Whether the model has a vector for each position, and none beyond the last."""
    return any(one.name == "position_embd.weight" for one in file.tensors)


def _blocks(model: _Model) -> Iterator[str]:
    stated = model.number("block_count")
    if stated is None:
        return
    found = {int(match[1]) for name in model.shapes if (match := _BLOCK.search(name))}
    ahead = model.number("nextn_predict_layers") or 0
    per_layer = isinstance(
        model.metadata.get(f"{model.architecture}.attention.head_count"), ArrayInfo
    )
    missing = [] if per_layer else sorted(set(range(stated - ahead)) - found)
    extra = sorted(one for one in found if one >= stated + ahead)
    if missing or extra:
        wrong = f"no tensors of layer {_some(missing)}" if missing else f"layer {_some(extra)} too"
        yield (
            f"the configuration says {stated} layers, the weights have {len(found)} ({wrong}; "
            "layers are counted from 0)"
        )


def _some(numbers: list[int]) -> str:
    more = ", ..." if len(numbers) > _SHOWN else ""
    return ", ".join(map(str, numbers[:_SHOWN])) + more


def _tokenizer(model: _Model) -> Iterator[str]:
    kind = model.metadata.get("tokenizer.ggml.model")
    tokens = model.metadata.get("tokenizer.ggml.tokens")
    listed = isinstance(tokens, ArrayInfo) and tokens.count > 0
    # Models of speech say 'none', and have none.
    if kind not in ("none", "no_vocab") and not (kind and listed):
        yield "it has no tokenizer"


def _vocabulary(model: _Model) -> Iterator[str]:
    tokens = model.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, ArrayInfo):
        return
    for name, what in (("token_embd.weight", "embeddings"), ("output.weight", "output matrix")):
        shape = model.shapes.get(name, ())
        if len(shape) >= _MATRIX and shape[1] != tokens.count:
            yield f"its tokenizer has {tokens.count} tokens, the {what} {shape[1]} rows ({name})"


def _heads(model: _Model) -> Iterator[str]:
    width, heads = model.number("embedding_length"), model.number("attention.head_count")
    embedded = model.shapes.get("token_embd.weight", ())
    special = model.number("features_length") or model.number("embedding_length_per_layer_input")
    if width and embedded and embedded[0] != width and not special:
        yield f"embeddings have {width} numbers by the configuration, {embedded[0]} by the weights"
    if not width or not heads:
        return
    if model.number("attention.key_length") is None and width % heads:
        yield f"embeddings of {width} numbers cannot be shared by {heads} heads"
    for part, groups, length in (
        ("attn_q", "attention.head_count", "key_length"),
        ("attn_k", "attention.head_count_kv", "key_length"),
        ("attn_v", "attention.head_count_kv", "value_length"),
    ):
        yield from _head_size(model, part, groups, length)


def _head_size(model: _Model, part: str, groups: str, length: str) -> Iterator[str]:
    """Rows of the first layer's part against heads times their size."""
    width, heads = model.number("embedding_length"), model.number("attention.head_count")
    shape = model.shapes.get(f"blk.0.{part}.weight", ())
    stated = f"{model.architecture}.{groups}" in model.metadata
    count = model.number(groups) if stated else heads
    if not width or not heads or count is None or len(shape) < _MATRIX:
        return
    sizes = {model.number(f"attention.{length}{suffix}") for suffix in ("", "_swa", "_mla")}
    fitting = {count * size for size in sizes if size} or {count * (width // heads)}
    # Models that gate their attention keep the gate beside the queries.
    if shape[1] not in fitting | {2 * rows for rows in fitting}:
        rows = " or ".join(str(one) for one in sorted(fitting))
        yield (
            f"{count} heads of the configuration make {rows} rows of blk.0.{part}.weight, "
            f"which has {shape[1]}"
        )
