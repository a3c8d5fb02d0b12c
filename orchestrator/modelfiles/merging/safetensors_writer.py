"""Write a sharded safetensors model: headers first, then any byte range in any order.

The format is described at https://huggingface.co/docs/safetensors and, for the index,
in transformers' ``save_pretrained``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.modelfiles.safetensors import BITS, build_header

MAX_SHARD_BYTES = 2_000_000_000
# Name, safetensors' name of the type, shape.
Described = tuple[str, str, tuple[int, ...]]
# What the header says about one tensor beside its name and numbers, at most.
_ENTRY_OVERHEAD = 160


@dataclass(frozen=True)
class Slot:
    """Where a tensor goes: ``offset`` counts from the start of the file ``file``."""

    name: str
    file: str
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Shard:
    """One file to write: its header's bytes and its full size."""

    file: str
    header: bytes
    nbytes: int
    slots: tuple[Slot, ...]


def lay_out(tensors: Iterable[Described], max_bytes: int = MAX_SHARD_BYTES) -> tuple[Shard, ...]:
    """Place tensors, in order, in files of at most ``max_bytes`` each.

    A tensor that is larger than that alone gets a file of its own: the format cannot
    split it.
    """
    groups = _group(tensors, max_bytes)
    if len(groups) == 1:
        return (_shard("model.safetensors", groups[0]),)
    total = len(groups)
    return tuple(
        _shard(f"model-{number:05}-of-{total:05}.safetensors", group)
        for number, group in enumerate(groups, start=1)
    )


def _group(tensors: Iterable[Described], max_bytes: int) -> list[list[Described]]:
    groups: list[list[Described]] = [[]]
    used = _ENTRY_OVERHEAD
    for name, dtype, shape in tensors:
        need = _nbytes(dtype, shape) + _ENTRY_OVERHEAD + len(json.dumps([name, shape]))
        if groups[-1] and used + need > max_bytes:
            groups.append([])
            used = _ENTRY_OVERHEAD
        groups[-1].append((name, dtype, shape))
        used += need
    return groups


def _nbytes(dtype: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * BITS[dtype] // 8


def _shard(file: str, tensors: Sequence[Described]) -> Shard:
    header, total = build_header(tensors, {"format": "pt"})
    slots, position = [], len(header)
    for name, dtype, shape in tensors:
        slots.append(Slot(name, file, position, _nbytes(dtype, shape)))
        position += slots[-1].nbytes
    return Shard(file, header, total, tuple(slots))


def create_files(folder: Path, shards: Sequence[Shard]) -> None:
    """Create every shard at its full size with its header, and the index of several."""
    for shard in shards:
        with (folder / shard.file).open("xb") as file:
            file.write(shard.header)
            file.truncate(shard.nbytes)
    if len(shards) > 1:
        slots = [slot for shard in shards for slot in shard.slots]
        index = {
            "metadata": {"total_size": sum(slot.nbytes for slot in slots)},
            "weight_map": {slot.name: slot.file for slot in slots},
        }
        write_json(folder / "model.safetensors.index.json", index)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` indented, as transformers does, with a final newline."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
