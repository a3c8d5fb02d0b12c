"""Small GGML files of llama and bloom models, written from nothing but a seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

ALIGNMENT = 32
MAGIC = b"tjgg"  # "ggjt" as a little-endian number
VERSION = 1
MOSTLY_F16 = 1
# Token 13 is what the tools take for a new line; 1 and 2 begin and end a text. Every other
# printable character is there, since the tool of August 2023 dies of one that is missing.
_PRINTABLE = [chr(code) for code in range(32, 127)]
TOKENS = ["<unk>", "", "", *_PRINTABLE[:10], "\n", *_PRINTABLE[10:]]
BLOOM_MAGIC = b"lmgg"  # "ggml" as a little-endian number
BLOOM_PARTS = {
    "attention_norm": (1, 0),
    "attention.query_key_value": (1, 3),
    "attention.wo": (1, 1),
    "ffn_norm": (1, 0),
    "feed_forward.w1": (1, 4),
    "feed_forward.w2": (4, 1),
}


def feed_forward(width: int, multiple: int) -> int:
    """The feed-forward width that the tools compute from the file's numbers."""
    return -(-(8 * width // 3) // multiple) * multiple


def shapes(layers: int, width: int, wide: int, vocab: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and (columns, rows) in the order of upstream's converter."""
    yield "tok_embeddings.weight", (width, vocab)
    yield "norm.weight", (width,)
    yield "output.weight", (width, vocab)
    for layer in range(layers):
        for part in ("wq", "wk", "wv", "wo"):
            yield f"layers.{layer}.attention.{part}.weight", (width, width)
        yield f"layers.{layer}.attention_norm.weight", (width,)
        yield f"layers.{layer}.feed_forward.w1.weight", (width, wide)
        yield f"layers.{layer}.feed_forward.w2.weight", (wide, width)
        yield f"layers.{layer}.feed_forward.w3.weight", (width, wide)
        yield f"layers.{layer}.ffn_norm.weight", (width,)


def llama(layers: int = 1, width: int = 32, multiple: int = 32, seed: int = 1) -> bytes:
    """A ggjt file of one F16 llama with the tokens above and two heads.

    With one head the tools of August 2023 write beyond the end of a buffer.
    """
    numbers = random.Random(seed)
    heads = 2
    header = [VERSION, len(TOKENS), width, multiple, heads, layers, width // heads, MOSTLY_F16]
    data = bytearray(MAGIC + struct.pack("<8i", *header))
    for index, token in enumerate(TOKENS):
        text = token.encode()
        data += struct.pack("<i", len(text)) + text + struct.pack("<f", -index)
    for name, shape in shapes(layers, width, feed_forward(width, multiple), len(TOKENS)):
        data += _tensor(name, shape, numbers, len(data))
    return bytes(data)


def _tensor(
    name: str,
    shape: tuple[int, ...],
    numbers: random.Random,
    start: int,
    alignment: int = ALIGNMENT,
) -> bytes:
    head = struct.pack("<3i", len(shape), len(name), int(len(shape) > 1))
    head += struct.pack(f"<{len(shape)}i", *shape) + name.encode()
    head += bytes(-(start + len(head)) % alignment)
    if len(shape) == 1:
        return head + struct.pack(f"<{shape[0]}f", *[1.0] * shape[0])
    count = shape[0] * shape[1]
    return head + struct.pack(f"<{count}e", *(numbers.uniform(-0.2, 0.2) for _ in range(count)))


def write_llama(path: Path, layers: int = 1, width: int = 32, multiple: int = 32) -> Path:
    """Write such a file and give its path back."""
    path.write_bytes(llama(layers, width, multiple))
    return path


def bloom(layers: int = 2, width: int = 64, seed: int = 1) -> bytes:
    """A file of bloomz.cpp: one F16 bloom with the tokens above and two heads.

    With one layer, or a smaller width, its newer commit runs out of the memory that it
    reckons for a model, and dies.
    """
    numbers = random.Random(seed)
    data = bytearray(BLOOM_MAGIC)
    data += struct.pack("<6i", len(TOKENS), width, 1, 2, layers, MOSTLY_F16)
    for token in TOKENS:
        data += struct.pack("<i", len(token)) + token.encode()
    for name, shape in bloom_shapes(layers, width, len(TOKENS)):
        data += _tensor(name, shape, numbers, 0, alignment=1)
    return bytes(data)


def bloom_shapes(layers: int, width: int, vocab: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and (columns, rows) in the order of upstream's converter."""
    yield "tok_embeddings.weight", (width, vocab)
    yield "norm.weight", (width,)
    yield "norm.bias", (width,)
    for layer in range(layers):
        for part, (columns, rows) in BLOOM_PARTS.items():
            shape = (columns * width, rows * width) if rows else (width,)
            yield f"layers.{layer}.{part}.weight", shape
            yield f"layers.{layer}.{part}.bias", (shape[-1],)
    yield "output_norm.weight", (width,)
    yield "output_norm.bias", (width,)
    yield "output.weight", (width, vocab)
