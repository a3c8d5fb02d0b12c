"""GGUF, the format of today's llama.cpp: the header of a file, and exact sizes from it.

The layout is that of ggml's specification and of gguf.cpp of llama.cpp 0c1e570, and the
same files are refused: versions but 2 and 3, big-endian ones, nested arrays, tensors that
do not follow each other without gaps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.ggml_types import tensor_bytes, type_by_id
from orchestrator.modelfiles.gguf_metadata import (
    ArrayInfo,
    Field,
    Scalar,
    Value,
    read_array,
    read_fields,
    written_bytes,
)
from orchestrator.modelfiles.untrusted_reader import Reader, open_reader

__all__ = [
    "GGUF",
    "ArrayInfo",
    "Field",
    "Scalar",
    "TensorInfo",
    "Value",
    "parse",
    "predicted_size",
    "read",
    "read_array",
    "type_counts",
]

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
_ALIGNMENT_KEY = "general.alignment"
_MAX_ALIGNMENT = 1 << 20
_MAX_DIMENSIONS = 4
_MAX_NAME = 63  # ggml keeps names in 64 bytes with a NUL
_MAX_ELEMENTS = 2**63 - 1
# Real files have some dozens of keys and up to some thousands of tensors.
_MAX_KEYS = 1 << 16
_MAX_TENSORS = 1 << 18
_MIN_KEY_BYTES = 8 + 1 + 4 + 1
_MIN_TENSOR_BYTES = 8 + 1 + 4 + 4 + 8

# What llama-quantize leaves out of its output and what it always sets there.
SPLIT_KEYS = frozenset({"split.no", "split.count", "split.tensors.count"})
_SET_KEYS = ("general.quantization_version", "general.file_type")
OVERRIDE_TEXT = 127  # llama_model_kv_override holds 128 bytes with a NUL


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file.

    Attributes:
        name: Its name.
        shape: Elements per dimension in ggml order: the length of a row comes first.
        type_id: Number of its type in the file.
        type: Upper-case name of its type.
        offset: Its first byte, counted from the start of the data section.
        nbytes: Its bytes without padding.
    """

    name: str
    shape: tuple[int, ...]
    type_id: int
    type: str
    offset: int
    nbytes: int

    @property
    def n_elements(self) -> int:
        """How many numbers the tensor holds."""
        return prod(self.shape)


@dataclass(frozen=True)
class GGUF:
    """The header of one file.

    Attributes:
        path: The file.
        version: 2 or 3.
        alignment: Bytes; tensors start at multiples of it.
        fields: Key-value pairs with their GGUF types, in file order.
        tensors: In file order.
        metadata_bytes: Length of the key-value section.
        data_offset: Byte of the file where the data section starts.
        file_size: Length of the file in bytes.
    """

    path: Path
    version: int
    alignment: int
    fields: Mapping[str, Field]
    tensors: tuple[TensorInfo, ...]
    metadata_bytes: int
    data_offset: int
    file_size: int

    @property
    def metadata(self) -> Mapping[str, Value]:
        """Key-value pairs; arrays as ArrayInfo, read with ``read_array``."""
        return {key: field.value for key, field in self.fields.items()}

    @property
    def n_elements(self) -> int:
        """How many numbers all tensors hold: the parameter count."""
        return sum(one.n_elements for one in self.tensors)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors without padding."""
        return sum(one.nbytes for one in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits of tensor data per element, as llama-quantize prints it; 0 without tensors."""
        return 8 * self.tensor_bytes / self.n_elements if self.tensors else 0.0

    @property
    def data_end(self) -> int:
        """Byte after the last tensor, without its padding."""
        last = self.tensors[-1] if self.tensors else None
        return self.data_offset + (last.offset + last.nbytes if last else 0)


def read(path: Path | str, *, partial: bool = False) -> GGUF:
    """The header of ``path``; no tensor data is read.

    Args:
        path: The file.
        partial: Accept tensors beyond the end of the file, as in a header-only file.

    Raises:
        FormatError: The file cannot be read or is malformed; names the byte.
    """
    with open_reader(path) as reader:
        return parse(reader, partial=partial)


def parse(reader: Reader, *, partial: bool = False) -> GGUF:
    """The header at the cursor of ``reader``; as ``read`` does for a file."""
    version = _version(reader)
    n_tensors = _count(reader, "tensors", _MAX_TENSORS, _MIN_TENSOR_BYTES)
    n_keys = _count(reader, "keys", _MAX_KEYS, _MIN_KEY_BYTES)
    start = reader.position
    fields = read_fields(reader, n_keys)
    metadata_bytes = reader.position - start
    alignment = _alignment(reader, fields)
    tensors = tuple(_tensors(reader, n_tensors, alignment))
    data = pad(reader.position, alignment) if tensors else reader.position
    path = Path(reader.path)
    found = GGUF(path, version, alignment, fields, tensors, metadata_bytes, data, reader.size)
    if not partial:
        _check_extent(reader, found)
    return found


def _version(reader: Reader) -> int:
    if reader.take(4, "the magic") != MAGIC:
        raise reader.error("this is not a GGUF file (no magic)", 0)
    version = reader.u32("the version")
    if version and not version & 0xFFFF:
        raise reader.error("big-endian GGUF files are not supported", 4)
    if version not in (2, 3):
        raise reader.error(f"GGUF version {version} is not supported, only 2 and 3", 4)
    return version


def _count(reader: Reader, what: str, limit: int, least: int) -> int:
    start = reader.position
    count = reader.u64(f"the number of {what}")
    if count > limit or count * least > reader.remaining:
        raise reader.error(f"a file of this size cannot have {count} {what}", start)
    return count


def _alignment(reader: Reader, fields: Mapping[str, Field]) -> int:
    field = fields.get(_ALIGNMENT_KEY, Field("u32", DEFAULT_ALIGNMENT))
    value = field.value
    if field.type != "u32" or not isinstance(value, int):
        raise reader.error(f"{_ALIGNMENT_KEY} is of type {field.type}, not u32")
    if not 0 < value <= _MAX_ALIGNMENT or value & (value - 1):
        raise reader.error(f"{_ALIGNMENT_KEY} is {value}, not a power of two up to 2^20")
    return value


def _tensors(reader: Reader, count: int, alignment: int) -> Iterator[TensorInfo]:
    seen: set[str] = set()
    expected = 0
    for index in range(count):
        start = reader.position
        one = _tensor(reader, index)
        if one.name in seen:
            raise reader.error(f"the tensor name {one.name!r} appears twice", start)
        if one.offset != expected:
            raise reader.error(_misplaced(one, expected, alignment), reader.position - 8)
        seen.add(one.name)
        expected = pad(one.offset + one.nbytes, alignment)
        yield one


def _tensor(reader: Reader, index: int) -> TensorInfo:
    start = reader.position
    what = f"tensor {index}"
    name = reader.text(reader.u64(f"the name of {what}"), f"the name of {what}", _MAX_NAME)
    if not name or "\0" in name:
        raise reader.error(f"the name of {what} is empty or holds a NUL", start)
    shape = _shape(reader, name)
    at = reader.position
    type_id = reader.u32(f"the type of {name!r}")
    offset = reader.u64(f"the offset of {name!r}")
    try:
        kind = type_by_id(type_id)
        nbytes = tensor_bytes(kind, shape)
    except FormatError as error:
        raise reader.error(f"tensor {name!r}: {error.message}", at) from error
    return TensorInfo(name, shape, type_id, kind.name, offset, nbytes)


def _shape(reader: Reader, name: str) -> tuple[int, ...]:
    at = reader.position
    dimensions = reader.u32(f"the dimensions of {name!r}")
    if dimensions > _MAX_DIMENSIONS:
        raise reader.error(f"tensor {name!r} has {dimensions} dimensions, more than 4", at)
    shape = tuple(reader.u64(f"the shape of {name!r}") for _ in range(dimensions))
    if 0 in shape or prod(shape) > _MAX_ELEMENTS:
        raise reader.error(f"tensor {name!r} has the impossible shape {list(shape)}", at)
    return shape


def _misplaced(one: TensorInfo, expected: int, alignment: int) -> str:
    if one.offset % alignment:
        why = f"is not a multiple of {alignment}"
    else:
        why = "overlaps the one before" if one.offset < expected else "leaves a gap"
    return f"tensor {one.name!r} at offset {one.offset} {why}; it must start at {expected}"


def _check_extent(reader: Reader, found: GGUF) -> None:
    for one in found.tensors:
        end = found.data_offset + one.offset + one.nbytes
        if end > reader.size:
            problem = f"tensor {one.name!r} ends at byte {end}, the file at byte {reader.size}"
            raise reader.error(problem, found.data_offset + one.offset)


def pad(count: int, alignment: int) -> int:
    """The next multiple of ``alignment`` from ``count`` on."""
    return -(-count // alignment) * alignment


def type_counts(gguf: GGUF) -> dict[str, int]:
    """How many tensors there are of each type, by type name in alphabetical order."""
    return dict(sorted(Counter(one.type for one in gguf.tensors).items()))


def predicted_size(
    gguf: GGUF,
    types: Mapping[str, str],
    *,
    extra_kv: Mapping[str, Scalar] | None = None,
    alignment: int = DEFAULT_ALIGNMENT,
) -> int:
    """Exact bytes of the file that llama-quantize writes from this header.

    Args:
        gguf: The header of the (whole, not split) input.
        types: New type of each tensor by its name; the others keep theirs.
        extra_kv: Values set by ``--override-kv`` or for an importance matrix
            (``quantize.imatrix.*``); written as u32, f32, bool or a string of at most
            127 bytes, as llama-quantize does.
        alignment: llama-quantize writes with 32, whatever the input's alignment is.

    Raises:
        FormatError: A tensor or type is unknown, or rows do not fill a type's blocks.
    """
    unknown = sorted(types.keys() - {one.name for one in gguf.tensors})
    if unknown:
        raise FormatError(f"{gguf.path} has no tensor {unknown[0]!r}")
    fields = _output_fields(gguf.fields, extra_kv or {})
    header = 4 + 4 + 8 + 8 + sum(written_bytes(key, field) for key, field in fields.items())
    header += sum(_info_bytes(one.name, one.shape) for one in gguf.tensors)
    sizes = (tensor_bytes(types.get(one.name, one.type), one.shape) for one in gguf.tensors)
    return pad(header, alignment) + sum(pad(size, alignment) for size in sizes)


def _output_fields(fields: Mapping[str, Field], extra_kv: Mapping[str, Scalar]) -> dict[str, Field]:
    kept = {key: field for key, field in fields.items() if key not in SPLIT_KEYS}
    kept.update({key: Field("u32", 0) for key in _SET_KEYS})
    kept.update({key: _override(value) for key, value in extra_kv.items()})
    return kept


def _override(value: Scalar) -> Field:
    if isinstance(value, bool):
        return Field("bool", value)
    if isinstance(value, str):
        kept = value.split("\0", 1)[0].encode()[:OVERRIDE_TEXT]
        return Field("str", "x" * len(kept))  # only its length counts here
    return Field("u32", value) if isinstance(value, int) else Field("f32", value)


def _info_bytes(name: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor's entry; ggml drops trailing dimensions of 1 when it writes."""
    dimensions = max((at + 1 for at, size in enumerate(shape) if size > 1), default=1)
    return 8 + len(name.encode()) + 4 + 8 * dimensions + 4 + 8
