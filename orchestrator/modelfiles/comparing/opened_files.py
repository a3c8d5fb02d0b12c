"""Model files as a comparison sees them: keys, tensors with their places, and the rest.

A GGUF file in parts (``NAME-00001-of-00003.gguf``) is one; a GGML file of 2023 has its
numbers and its vocabulary as keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from orchestrator.modelfiles import detect_format, ggml, ggml_types, gguf, gguf_parts
from orchestrator.modelfiles.comparing.byte_ranges import Pair, Range
from orchestrator.modelfiles.comparing.comparison import Side
from orchestrator.modelfiles.format_error import FormatError

Family = Literal["auto", "llama", "bloom"]

_SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")
_NO_SCORES = "ggml"
# Blocks of this type lie in rows, in one of two ways.
PLANAR = "Q4_1 (before ggjt)"


@dataclass(frozen=True)
class Entry:
    """A value of a header; an array stays in the file ``path``, ``nbytes`` from ``offset`` on."""

    type: str
    value: gguf.Scalar | None = None
    path: Path = Path()
    offset: int = 0
    nbytes: int = 0
    count: int | None = None


@dataclass(frozen=True)
class Located:
    """A tensor and where it lies.

    Attributes:
        name: Its name.
        shape: Row length first, without trailing dimensions of 1, which mean nothing.
        type: Name of its type; with the layout where that is not today's.
        block: Elements of a block.
        block_bytes: Bytes of a block.
        path: The file it is in.
        offset: Its first byte in that file.
        nbytes: Its bytes.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    block: int
    block_bytes: int
    path: Path
    offset: int
    nbytes: int

    @property
    def n_elements(self) -> int:
        """How many numbers it holds."""
        return self.nbytes // self.block_bytes * self.block

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return (self.shape[0] if self.shape else 1) // self.block * self.block_bytes


@dataclass(frozen=True)
class Opened:
    """The headers of all parts of one model.

    Attributes:
        side: Which files they are.
        entries: All keys in the order of the file.
        tensors: In the order of the file.
        gaps: For each file the ranges (start, end) that are no tensor's.
    """

    side: Side
    entries: Mapping[str, Entry]
    tensors: tuple[Located, ...]
    gaps: tuple[tuple[tuple[int, int], ...], ...]


def open_model(path: Path, family: Family = "auto") -> Opened:
    """Read the headers of ``path`` and of its other parts.

    Args:
        path: A GGUF file, any part of a split one, or a GGML file.
        family: Whose GGML file it is, which the file does not say; ``auto`` tries both.

    Raises:
        FormatError: A part is missing, cannot be read, is malformed or of another format.
    """
    kind = detect_format.kind(path)
    if kind == "gguf":
        return _open_gguf(path)
    if kind in ggml.MAGICS.values():
        return _open_ggml(_read_ggml(path, family))
    raise FormatError(
        f"{path} is neither a GGUF nor a GGML file.", "Name a .gguf file, or a .bin of 2023."
    )


def growing_tensors(path: Path) -> tuple[Located, ...]:
    """Where the tensors of one GGUF file will be whose header is complete, in the file's order.

    Raises:
        FormatError: The header is not complete, or malformed.
    """
    found = gguf.read(path, partial=True)
    return tuple(_locate(path, one, "gguf", found.data_offset) for one in found.tensors)


def open_pair(a: Path, b: Path, family: Family = "auto") -> tuple[Opened, Opened]:
    """Both models as ``open_model`` reads them.

    A vocabulary of 400,000 strings takes a fifth of a second to walk, as much as comparing
    a gigabyte, so a header that is A's to the byte is not read again.
    """
    left = open_model(a, family)
    return left, _twin(left, b) or open_model(b, family)


def _twin(model: Opened, path: Path) -> Opened | None:
    """What ``path`` is when it is as long as ``model`` and has the same header; else None."""
    side = model.side
    if side.format != "gguf" or len(side.files) > 1:
        return None
    if not path.is_file() or path.stat().st_size != side.nbytes:
        return None
    header = model.gaps[0][0][1]
    with Pair() as pair:
        if not pair.equal(Range(side.path, 0, header), Range(path, 0, header)):
            return None
    entries = {
        key: one if one.count is None else replace(one, path=path)
        for key, one in model.entries.items()
    }
    tensors = tuple(replace(one, path=path) for one in model.tensors)
    return Opened(replace(side, path=path, files=(path,)), entries, tensors, model.gaps)


def _open_gguf(path: Path) -> Opened:
    parts = gguf_parts.read(path)
    entries: dict[str, Entry] = {"(version)": Entry("u32", parts[0].version)}
    tensors: dict[str, Located] = {}
    for part in parts:
        entries |= {
            key: _entry(part.path, field)
            for key, field in part.fields.items()
            if key not in entries and (len(parts) == 1 or key not in _SPLIT_KEYS)
        }
        for one in part.tensors:
            if one.name in tensors:
                raise FormatError(f"{part.path}: {one.name!r} is in another part too.")
            tensors[one.name] = _locate(part.path, one, "gguf", part.data_offset)
    sizes = [one.file_size for one in parts]
    paths = tuple(one.path for one in parts)
    side = Side(path, paths, "gguf", sum(sizes))
    return Opened(side, entries, tuple(tensors.values()), _gaps(paths, sizes, tensors.values()))


def _entry(path: Path, field: gguf.Field) -> Entry:
    value = field.value
    if isinstance(value, gguf.ArrayInfo):
        kind = f"arr[{value.type}]"
        return Entry(kind, None, path, value.offset, value.nbytes, value.count)
    return Entry(field.type, value)


def _read_ggml(path: Path, family: Family) -> ggml.GGMLFile:
    if family != "auto":
        return ggml.read(path, family)
    try:
        return ggml.read(path, "llama")
    except FormatError as as_llama:
        try:
            return ggml.read(path, "bloom")
        except FormatError:
            raise as_llama from None


def _open_ggml(file: ggml.GGMLFile) -> Opened:
    early = file.magic != "ggjt"
    numbers = {key: value for key, value in vars(file.hparams).items() if value or key == "ftype"}
    entries = {
        "(magic)": Entry("str", file.magic),
        "(version)": Entry("u32", file.version),
        "(family)": Entry("str", file.family),
        **{key: Entry("u32", value) for key, value in numbers.items()},
        "(vocabulary)": _vocabulary(file, 4 * (1 + (file.version > 0) + len(numbers))),
    }
    tensors = tuple(_locate(file.path, one, file.layout, 0, early) for one in file.tensors)
    side = Side(file.path, (file.path,), file.magic, file.file_size)
    return Opened(side, entries, tensors, _gaps([file.path], [file.file_size], tensors))


def _vocabulary(file: ggml.GGMLFile, offset: int) -> Entry:
    """Texts with their lengths, and scores where there are any."""
    scores = file.magic != _NO_SCORES
    kind = "arr[token and score]" if scores else "arr[token]"
    nbytes = file.vocab_bytes + (8 if scores else 4) * file.n_vocab
    return Entry(kind, None, file.path, offset, nbytes, file.n_vocab)


def _locate(
    path: Path, one: gguf.TensorInfo, layout: ggml_types.Layout, start: int, early: bool = False
) -> Located:
    kind = ggml_types.type_by_id(one.type_id, layout)
    shape = one.shape
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    name = type_name(kind.name, layout, early)
    at = start + one.offset
    return Located(one.name, shape, name, kind.block, kind.nbytes, path, at, one.nbytes)


def type_name(name: str, layout: ggml_types.Layout, early: bool = False) -> str:
    """A type's name that also says how its blocks are laid out, where that has changed.

    ``early`` is for containers older than ggjt, whose Q4_1 has two layouts.
    """
    if early and name == "Q4_1":
        return PLANAR
    if layout in ("ggjt-v1", "bloomz") and name[:2] in ("Q4", "Q5"):
        return f"{name} (ggjt-v1)"
    if name == "Q8_0" and layout in ("ggjt-v1", "ggjt-v2"):
        return "Q8_0 (ggjt-v2)"
    if layout == "ggjt-v2" and name in ("Q4_0", "Q4_1"):
        return f"{name} (ggjt-v2)"
    return name


def _gaps(
    paths: Sequence[Path], sizes: Sequence[int], tensors: Iterable[Located]
) -> tuple[tuple[tuple[int, int], ...], ...]:
    lying: dict[Path, list[Located]] = {path: [] for path in paths}
    for one in tensors:
        lying[one.path].append(one)
    return tuple(
        tuple(_between(lying[path], size)) for path, size in zip(paths, sizes, strict=True)
    )


def _between(tensors: Sequence[Located], size: int) -> Iterator[tuple[int, int]]:
    at = 0
    for one in tensors:
        if one.offset > at:
            yield at, one.offset
        at = one.offset + one.nbytes
    if size > at:
        yield at, size
