"""Importance matrices: the GGUF files of today, and the old format that has no magic.

An old file is a number of entries, each with a tensor's name, a count of calls and its numbers,
and at the end, from April 2024 on, chunks and the name of the text. Memory is bounded by the
names; numbers are read in blocks.
Source: common/imatrix-loader.cpp of llama.cpp 0c1e570, as quantize.cpp of earlier ones.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.base import units
from orchestrator.base.errors import ExplainedFailure
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import gguf, lfs_pointer
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.gguf import TensorInfo
from orchestrator.modelfiles.untrusted_reader import Reader, open_reader

Form = Literal["gguf", "dat"]

_SUMS, _COUNTS = ".in_sum2", ".counts"
_DATASETS, _CHUNKS = "imatrix.datasets", "imatrix.chunk_count"
_KEYS = (_DATASETS, _CHUNKS, "imatrix.chunk_size")
_MAX_ENTRIES = 1 << 18
_LEAST_ENTRY = 4 + 1 + 4 + 4 + 4
_MAX_NAME = 255
_MAX_DATASET = 1 << 16
_FLOAT = 4
_BUFFER = 8 << 20
_SHOWN = 3
_LAYER = re.compile(r"blk\.(\d+)\.")
# The quantizer itself lets it pass: files of other tools hold one number a token.
_SPARED = "token_embd.weight"


@dataclass(frozen=True)
class Numbers:
    """Where the numbers of one entry lie: ``count`` floats from the byte ``offset`` on."""

    offset: int
    count: int


@dataclass(frozen=True)
class Matrix:
    """What a file holds; ``dataset`` and ``chunks`` are empty and 0 where it does not say."""

    form: Form
    entries: Mapping[str, Numbers]
    dataset: str = ""
    chunks: int = 0

    def lacking(self, names: Iterable[str]) -> list[str]:
        """Those of a model's tensors that are in a layer and have no entry.

        llama-imatrix leaves out what is in no layer.
        """
        return [one for one in names if _LAYER.match(one) and one not in self.entries]

    def header(self, name: str) -> dict[str, str | int]:
        """What the quantizer writes into a file that it makes with the matrix called ``name``."""
        return {
            "quantize.imatrix.file": name,
            **({"quantize.imatrix.dataset": self.dataset} if self.dataset else {}),
            "quantize.imatrix.entries_count": len(self.entries),
            **({"quantize.imatrix.chunks_count": self.chunks} if self.chunks else {}),
        }


def read(path: Path) -> Matrix:
    """The entries of a file, with every number looked at.

    Raises:
        FormatError: It is no importance matrix, it is damaged, or it holds NaN or infinite
            numbers or nothing but zeros.
        ExplainedFailure: It is what git-lfs left in place of the file.
    """
    lfs_pointer.refuse([(path.name, path)])
    with open_reader(path) as reader:
        magic = reader.take(min(len(gguf.MAGIC), reader.remaining), "the beginning")
    found = _gguf(path) if magic == gguf.MAGIC else _dat(path)
    _expect_numbers(path, found)
    return found


def _gguf(path: Path) -> Matrix:
    header = gguf.read(path)
    sums = {t.name.removesuffix(_SUMS): t for t in header.tensors if t.name.endswith(_SUMS)}
    counted = {t.name.removesuffix(_COUNTS) for t in header.tensors if t.name.endswith(_COUNTS)}
    if not sums or not header.metadata.keys() >= set(_KEYS):
        kind = header.metadata.get("general.type", "another kind")
        raise FormatError(f"{path} is a GGUF file of {kind!r}, no importance matrix", _HINT)
    odd = sorted(sums.keys() ^ counted) or [n for n, one in sums.items() if one.type != "F32"]
    if odd:
        raise FormatError(f"{path}: the entry {odd[0]} lacks its sums or counts as F32", _DAMAGED)
    entries = {
        name: Numbers(header.data_offset + one.offset, one.n_elements)
        for name, one in sorted(sums.items())
    }
    chunks, texts = header.metadata[_CHUNKS], header.metadata[_DATASETS]
    listed = gguf.read_array(path, texts) if isinstance(texts, gguf.ArrayInfo) else []
    return Matrix(
        "gguf", entries, str(listed[0]) if listed else "", chunks if isinstance(chunks, int) else 0
    )


def _dat(path: Path) -> Matrix:
    with open_reader(path) as reader:
        count = reader.u32("the number of entries") if reader.size >= _FLOAT else 0
        if not 0 < count <= _MAX_ENTRIES or count * _LEAST_ENTRY > reader.remaining:
            raise FormatError(
                f"{path} is no importance matrix: neither GGUF nor the older format", _HINT
            )
        entries: dict[str, Numbers] = {}
        for index in range(count):
            name, numbers = _entry(reader, f"entry {index}")
            if name in entries:
                raise reader.error(f"the entry {name!r} appears twice")
            entries[name] = numbers
        dataset, chunks = "", 0
        if reader.remaining:
            chunks = reader.u32("the number of chunks")
        if reader.remaining:
            length = reader.u32("the name of the text")
            if length > _MAX_DATASET:
                raise reader.error(f"the name of the text claims {length} bytes")
            text = reader.take(length, "the name of the text")
            dataset = text.partition(b"\0")[0].decode("utf-8", "replace")
        if reader.remaining:
            raise reader.error(f"{units.plural(reader.remaining, 'byte')} follow the end")
    return Matrix("dat", entries, dataset, chunks)


def _entry(reader: Reader, what: str) -> tuple[str, Numbers]:
    name = reader.text(reader.u32(f"the name of {what}"), f"the name of {what}", _MAX_NAME)
    reader.u32(f"the calls of {what}")
    count = reader.u32(f"the size of {what}")
    if not name or not count:
        raise reader.error(f"{what} has no name or no numbers")
    found = Numbers(reader.position, count)
    reader.skip(_FLOAT * count, f"the numbers of {what}")
    return name, found


_HINT = "Name the file that llama-imatrix wrote."
_DAMAGED = "Compare its SHA-256 with the publisher's."


def _expect_numbers(path: Path, found: Matrix) -> None:
    """Hold all numbers against what sums of squares are."""
    largest = 0.0
    with path.open("rb") as file:
        for name, one in found.entries.items():
            file.seek(one.offset)
            left = one.count * _FLOAT
            while left:
                block = array("f", file.read(min(left, _BUFFER)))
                if sys.byteorder == "big":
                    block.byteswap()
                # No sum of so few floats, taken as doubles, is infinite by itself.
                if not block or not math.isfinite(sum(block)):
                    text = f"the entry {name} holds NaN or infinite numbers, or is cut"
                    raise FormatError(f"{path}: {text}", _DAMAGED)
                largest = max(largest, *map(abs, (max(block), min(block))))
                left -= len(block) * _FLOAT
    if not largest:
        raise FormatError(f"{path}: the importance matrix holds nothing but zeros", _DAMAGED)


def of_task(task: Task, tensors: Sequence[TensorInfo]) -> tuple[Path, Matrix]:
    """The importance matrix that others made and a step is given, if it fits the model.

    Raises:
        StepError: It is none, or damaged, or of another model.
    """
    [path] = [one for one in task.inputs["imatrix"].rglob("*") if one.is_file()]
    try:
        found = read(path)
        expect_of_model(found, tensors)
    except FormatError as error:
        # The store's path says nothing to anybody.
        said = error.message.replace(str(path), path.name)
        raise ExplainedFailure(f"{task.step.label}: {said}", error.hint) from error
    return path, found


def expect_of_model(matrix: Matrix, tensors: Iterable[TensorInfo]) -> None:
    """Refuse a matrix of another model.

    Args:
        matrix: The matrix.
        tensors: Those of the file to be quantized.

    Raises:
        FormatError: None of its entries is of the model, rows have other lengths, or it has
            layers that the model has not; with names.
    """
    sizes = {one.name: math.prod((*one.shape[:1], *one.shape[2:3])) for one in tensors}
    known = [name for name in matrix.entries if name in sizes]
    begin = "the importance matrix is of another model"
    if not known:
        raise FormatError(
            f"{begin}: it has {_listed(list(matrix.entries))}, the model has "
            f"{_listed([name for name in sizes if _LAYER.match(name)] or list(sizes))}",
            _MADE_FOR,
        )
    other = [
        f"{name} ({matrix.entries[name].count} numbers for {sizes[name]})"
        for name in known
        if matrix.entries[name].count != sizes[name] and name != _SPARED
    ]
    if other:
        raise FormatError(f"{begin}: rows have other lengths in {_listed(other)}", _MADE_FOR)
    theirs, ours = _layers(matrix.entries), _layers(sizes)
    if theirs > ours:
        text = f"it has entries for {theirs} layers, the model has {ours}"
        raise FormatError(f"{begin}: {text}", _MADE_FOR)


def notes(matrix: Matrix, tensors: Iterable[TensorInfo]) -> list[JSON]:
    """What is odd of a matrix that fits, for the report."""
    unused = sorted(matrix.entries.keys() - {one.name for one in tensors})
    if not unused:
        return []
    count = units.plural(len(unused), "entry", "entries")
    return [
        {
            "message": f"The importance matrix has {count} for tensors that the model has not, "
            f"such as {unused[0]}.",
            "numbers": {"entries": unused},
        }
    ]


_MADE_FOR = "Use a matrix that was made from this model, or from the one that it is a copy of."


def _layers(names: Iterable[str]) -> int:
    return max((int(found[1]) + 1 for name in names if (found := _LAYER.match(name))), default=0)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
