"""Headers of safetensors files, and files that are only a header and a hole.

A file is an 8-byte length, that many bytes of JSON, and the tensors' bytes without gaps.
The limits are those of the safetensors library (100 MB of header; every byte of the data
belongs to exactly one tensor).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from math import prod
from pathlib import Path
from typing import Any

from orchestrator.modelfiles.format_error import FormatError, malformed
from orchestrator.modelfiles.untrusted_reader import open_reader

MAX_HEADER = 100_000_000
FIRST_RANGE = 48 << 10  # holds the header of a 7B model's shard (about 32 KB)
# Small JSON values grow when parsed; real headers have about eight of these per tensor.
_MAX_VALUES = 4_000_000
_MAX_DIMENSIONS = 32
_METADATA = "__metadata__"
_SHAPES = b'.weight_shape"'

_PLAIN = ("F64", "F32", "F16", "BF16")
# weight, qweight (GPTQ, AWQ), weight_packed, weight._data, q_weight (EXL2), W_q (HQQ).
_WEIGHT = re.compile(r"weight|\bW_q\b")

ReadRange = Callable[[int, int], tuple[bytes, int]]

BITS: Mapping[str, int] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


@dataclass(frozen=True)
class SafeTensor:
    """One tensor: shape in PyTorch's order, bytes ``start`` to ``end`` of the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def n_elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Its bytes."""
        return self.end - self.start


@dataclass(frozen=True)
class SafetensorsHeader:
    """A header; ``tensors`` in the order of their data, which starts at ``data_offset``."""

    metadata: Mapping[str, str]
    tensors: tuple[SafeTensor, ...]
    data_offset: int
    file_size: int

    @property
    def n_elements(self) -> int:
        """How many numbers all tensors hold: the parameter count of this file."""
        return sum(one.n_elements for one in self.tensors)


def read_header(path: Path | str) -> SafetensorsHeader:
    """The header of the file ``path``; FormatError when it is not a sound safetensors file."""
    with open_reader(path) as reader:
        length = _checked_length(reader.u64("the header's length"), reader.size, path)
        text = reader.take(length, "the header")
        return _parse(text, reader.size, path)


def quantized(read_range: ReadRange, name: Path | str) -> bool:
    """Whether a file holds weights as other than 16 to 64 bits of floating point.

    What does not start like a safetensors file holds none; the errors of ``read_range`` pass.
    """
    try:
        header, size = header_bytes(read_range, name)
        tensors = parse_header(header, size, name).tensors
    except FormatError:
        return False
    return any(one.dtype not in _PLAIN and _WEIGHT.search(one.name) for one in tensors)


def header_bytes(read_range: ReadRange, name: Path | str) -> tuple[bytes, int]:
    """All bytes before the tensors' data, in at most two reads, and the file's size.

    Of compressed-tensors' packed matrices the shapes come along, which their files begin with:
    converters ask for them before any weight, in one read more where there are many.

    Args:
        read_range: Given the first byte and the byte after the last, returns what the file
            has of that range, and its size in bytes.
        name: What to call the file in messages.

    Raises:
        FormatError: It does not start like a safetensors file; the JSON is seldom looked at.
    """
    start, size = read_range(0, FIRST_RANGE)
    end = header_length(start, size, name)
    if end > len(start):
        start += read_range(len(start), end)[0]
    if len(start) < end:
        raise malformed(name, len(start), f"the header ends only at byte {end}")
    if _SHAPES in start[:end]:
        tensors = parse_header(start[:end], size, name).tensors
        end += sum(one.end - one.start for one in takewhile(_is_shape, tensors))
        if end > len(start):
            start += read_range(len(start), end)[0]
    return start[:end], size


def _is_shape(one: SafeTensor) -> bool:
    return one.dtype == "I64" and one.shape == (2,)


def file_range(path: Path, start: int, end: int) -> tuple[bytes, int]:
    """A range of a local file and its size, as :func:`header_bytes` wants it."""
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(end - start), path.stat().st_size


def header_length(prefix: bytes, file_size: int, name: Path | str = "safetensors") -> int:
    """Bytes from the file's start to its data, from its first 8 bytes."""
    if len(prefix) < 8:
        raise malformed(name, len(prefix), "a safetensors file starts with 8 bytes of length")
    return 8 + _checked_length(int(struct.unpack("<Q", prefix[:8])[0]), file_size, name)


def parse_header(
    prefix: bytes, file_size: int, name: Path | str = "safetensors"
) -> SafetensorsHeader:
    """The header from the first bytes of a file.

    Args:
        prefix: At least the 8 bytes of length and the whole JSON.
        file_size: Length of the whole file in bytes.
        name: What to call the file in messages.

    Raises:
        FormatError: The prefix is too short, or the header is malformed.
    """
    end = header_length(prefix, file_size, name)
    if len(prefix) < end:
        raise malformed(name, len(prefix), f"the header ends only at byte {end}")
    return _parse(prefix[8:end], file_size, name)


def _checked_length(length: int, file_size: int, name: Path | str) -> int:
    if length > MAX_HEADER:
        raise malformed(name, 0, f"a header of {length} bytes is over the limit of {MAX_HEADER}")
    if length > file_size - 8:
        raise malformed(name, 0, f"a header of {length} bytes is longer than the file")
    return length


def _parse(text: bytes, file_size: int, name: Path | str) -> SafetensorsHeader:
    entries = _json(text, name)
    metadata = entries.pop(_METADATA, {})
    if not _is_text_map(metadata):
        raise malformed(name, 8, f"{_METADATA} is not a map of strings")
    tensors = [_tensor(key, entry, name) for key, entry in entries.items()]
    tensors.sort(key=lambda one: (one.start, one.end))
    start = 8 + len(text)
    _check_contiguous(tensors, start, file_size, name)
    return SafetensorsHeader(metadata, tuple(tensors), start, file_size)


def _json(text: bytes, name: Path | str) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise malformed(name, 8, "the header is not a JSON object")
    if sum(text.count(one) for one in (b",", b"[", b"{")) > _MAX_VALUES:
        raise malformed(name, 8, f"the header has more than {_MAX_VALUES} values")
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise malformed(name, 8, f"the header is not proper JSON: {reason}") from error
    assert isinstance(found, dict)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for key in found:
        key.encode()  # JSON can spell half a surrogate pair, which is no text
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _tensor(key: str, entry: Any, name: Path | str) -> SafeTensor:
    def bad(problem: str) -> FormatError:
        return malformed(name, 8, f"tensor {key!r} {problem}")

    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise bad("is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise bad(f"has the unknown dtype {str(dtype)[:40]!r}")
    if not _are_counts(shape) or len(shape) > _MAX_DIMENSIONS:
        raise bad("has an impossible shape")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise bad("has impossible offsets")
    if prod(shape) * BITS[dtype] != 8 * (offsets[1] - offsets[0]):
        raise bad(f"does not fill its {offsets[1] - offsets[0]} bytes exactly")
    return SafeTensor(key, dtype, tuple(shape), offsets[0], offsets[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(one) is int and 0 <= one < 1 << 63 for one in values
    )


def _check_contiguous(
    tensors: Iterable[SafeTensor], start: int, file_size: int, name: Path | str
) -> None:
    end = 0
    for one in tensors:
        if one.start != end:
            why = "overlaps another" if one.start < end else "leaves a gap before it"
            raise malformed(name, start + one.start, f"tensor {one.name!r} {why}")
        end = one.end
    if start + end != file_size:
        problem = f"the tensors end at byte {start + end}, the file at byte {file_size}"
        raise malformed(name, min(start + end, file_size), problem)


def build_header(
    tensors: Iterable[tuple[str, str, tuple[int, ...]]],
    metadata: Mapping[str, str] | None = None,
) -> tuple[bytes, int]:
    """The first bytes of a file with these tensors (name, dtype, shape), and its full length.

    The data follows the order given; the JSON is padded with spaces to a multiple of 8.

    Raises:
        FormatError: A name appears twice, a dtype is unknown, or elements do not fill bytes.
    """
    entries: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    end = 0
    for key, dtype, shape in tensors:
        bits = prod(shape) * BITS.get(dtype, 0)
        if key in entries or dtype not in BITS or bits % 8:
            raise FormatError(f"tensor {key!r} ({dtype}, {list(shape)}) cannot be described")
        offsets = [end, end + bits // 8]
        entries[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        end = offsets[1]
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, 8 + len(text) + end


def write_hole(header_bytes: bytes, total_size: int, path: Path) -> None:
    """Write a file of ``total_size`` bytes that holds ``header_bytes`` and then a hole.

    ``header_bytes`` are the file's bytes before the data, or some more of its beginning (as
    ``build_header`` makes or a range request fetches them). A hole mostly takes no space.

    Raises:
        FormatError: The header is malformed or does not describe ``total_size`` bytes.
    """
    parse_header(header_bytes, total_size, path)
    with path.open("wb") as file:
        file.write(header_bytes)
        file.truncate(total_size)
