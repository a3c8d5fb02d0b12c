"""Writers of small importance matrices in both formats."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_header, pad

Entries = Mapping[str, Sequence[float]]


def old_matrix(entries: Entries, *, chunks: int = 2, dataset: str | None = "words.txt") -> bytes:
    """A file of before August 2025; without a dataset, of before April 2024."""
    data = struct.pack("<i", len(entries))
    for name, values in entries.items():
        data += struct.pack("<i", len(name.encode())) + name.encode()
        data += struct.pack(f"<ii{len(values)}f", 1, len(values), *values)
    if dataset is None:
        return data
    return data + struct.pack("<ii", chunks, len(dataset.encode())) + dataset.encode()


def gguf_matrix(entries: Entries, *, chunks: int = 2, dataset: str = "words.txt") -> bytes:
    """A file of today, each entry with one count."""
    fields = {
        "general.type": KV("str", "imatrix"),
        "imatrix.datasets": KV("arr", [dataset], "str"),
        "imatrix.chunk_count": KV("u32", chunks),
        "imatrix.chunk_size": KV("u32", 512),
    }
    tensors, data = [], b""
    for name, values in entries.items():
        for suffix, numbers in (("in_sum2", values), ("counts", [1.0])):
            tensors.append(Tensor(f"{name}.{suffix}", (len(numbers), 1)))
            data += pad(struct.pack(f"<{len(numbers)}f", *numbers), 32)
    return gguf_header(GGUFSpec(fields=fields, tensors=tensors)) + data
