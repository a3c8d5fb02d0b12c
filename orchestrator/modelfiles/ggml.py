"""The GGML files of spring 2023: llama.cpp's ``ggml``, ``ggmf`` and ``ggjt``, bloomz.cpp's.

All are little-endian: a magic, from ``ggmf`` on a version, numbers of the model, the
vocabulary, then tensors one after the other up to the last byte of the file, each with its
own small header. ``ggjt`` aligns tensor data to 32 bytes. Nothing in a file tells llama
from bloom (both pins of bloomz.cpp write the magic ``ggml``), so the caller must know.
Sources: the loaders of llama.cpp 50cb666 and 604b8bd, main.cpp of bloomz.cpp 9614897.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.modelfiles import ggml_types
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.gguf import TensorInfo
from orchestrator.modelfiles.untrusted_reader import Reader, Strings, open_reader

Family = Literal["llama", "bloom"]
Container = Literal["ggml", "ggmf", "ggjt"]

# As bytes of a file: the numbers 0x67676d6c, 0x67676d66 and 0x67676a74 in little-endian.
MAGICS: Mapping[bytes, Container] = {b"lmgg": "ggml", b"fmgg": "ggmf", b"tjgg": "ggjt"}
ALIGNMENT = 32

_VERSIONS: Mapping[Container, tuple[int, ...]] = {"ggmf": (1,), "ggjt": (1, 2, 3)}
_GGJT: Mapping[int, ggml_types.Layout] = {1: "ggjt-v1", 2: "ggjt-v2", 3: "ggjt-v3"}
_MAX_FTYPE: Mapping[Family, int] = {"llama": 18, "bloom": 3}
_MAX_NAME = 255
_MAX_TENSORS = 1 << 16
_LAYER_PARTS: Mapping[Family, tuple[str, ...]] = {
    "llama": (
        "attention.wq",
        "attention.wk",
        "attention.wv",
        "attention.wo",
        "attention_norm",
        "feed_forward.w1",
        "feed_forward.w2",
        "feed_forward.w3",
        "ffn_norm",
    ),
    "bloom": (
        "attention_norm",
        "attention.query_key_value",
        "attention.wo",
        "ffn_norm",
        "feed_forward.w1",
        "feed_forward.w2",
    ),
}
_LIMITS: Mapping[str, int] = {
    "n_vocab": 1 << 24,
    "n_embd": 1 << 20,
    "n_mult": 1 << 20,
    "n_head": 1 << 16,
    "n_layer": 1 << 12,
    "n_rot": 1 << 20,
}


@dataclass(frozen=True)
class HParams:
    """Numbers of the model; ``n_rot`` is 0 for bloom, whose files have none."""

    n_vocab: int
    n_embd: int
    n_mult: int
    n_head: int
    n_layer: int
    n_rot: int
    ftype: int

    def n_ff(self, family: Family) -> int:
        """Width of the feed-forward layer, which the files state only through ``n_mult``."""
        wide = 2 * (4 * self.n_embd) // 3 if family == "llama" else 4 * self.n_embd
        return -(-wide // self.n_mult) * self.n_mult


@dataclass(frozen=True)
class GGMLFile:
    """The header of one file; ``tensors`` have offsets from the start of the file.

    Attributes:
        path: The file.
        magic: Its container.
        version: 0 for ``ggml``, which has none.
        family: What the caller said it is.
        layout: Which sizes its tensor types have.
        hparams: Numbers of the model.
        vocab_bytes: Bytes of all tokens' texts.
        tensors: In file order.
        file_size: Length of the file in bytes.
    """

    path: Path
    magic: Container
    version: int
    family: Family
    layout: ggml_types.Layout
    hparams: HParams
    vocab_bytes: int
    tensors: tuple[TensorInfo, ...]
    file_size: int

    @property
    def ftype(self) -> int:
        """The file's type number: 0 F32, 1 F16, 2 Q4_0, 3 Q4_1, ..."""
        return self.hparams.ftype

    @property
    def n_vocab(self) -> int:
        """How many tokens there are."""
        return self.hparams.n_vocab

    @property
    def n_elements(self) -> int:
        """How many numbers all tensors hold: the parameter count."""
        return sum(one.n_elements for one in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits of tensor data per element; 0 without tensors."""
        total = sum(one.nbytes for one in self.tensors)
        return 8 * total / self.n_elements if self.tensors else 0.0


def tensor_names(family: Family, n_layer: int) -> set[str]:
    """The names of all tensors of a model, as the converters of 2023 write them."""
    names = {"tok_embeddings.weight", "norm.weight", "output.weight"}
    kinds = ("weight", "bias") if family == "bloom" else ("weight",)
    if family == "bloom":
        names |= {"norm.bias", "output_norm.weight", "output_norm.bias"}
    return names | {
        f"layers.{index}.{part}.{kind}"
        for index in range(n_layer)
        for part in _LAYER_PARTS[family]
        for kind in kinds
    }


def read(path: Path | str, layout: Family, *, complete: bool = True) -> GGMLFile:
    """The header of ``path``, read as a file of the family ``layout``.

    Args:
        path: The file.
        layout: Which family it is.
        complete: Require exactly the tensors of such a model. These files state no count,
            so one that was cut between two tensors is otherwise as good as a whole one.

    Raises:
        FormatError: The file cannot be read, is malformed, or does not end with a tensor.
    """
    with open_reader(path) as reader:
        return parse(reader, layout, complete=complete)


def parse(reader: Reader, layout: Family, *, complete: bool = True) -> GGMLFile:
    """The header at the cursor of ``reader``; as ``read`` does for a file."""
    magic, version = _magic(reader)
    if layout == "bloom" and magic != "ggml":
        raise reader.error(f"bloomz.cpp writes no {magic} files", 0)
    hparams = _hparams(reader, layout)
    vocab = _vocabulary(reader, hparams.n_vocab, scores=magic != "ggml")
    types: ggml_types.Layout = "bloomz" if layout == "bloom" else _GGJT[max(version, 1)]
    tensors = tuple(_tensors(reader, types, ALIGNMENT if magic == "ggjt" else 1))
    if complete:
        _check_names(reader, tensors, tensor_names(layout, hparams.n_layer))
    path = Path(reader.path)
    return GGMLFile(path, magic, version, layout, types, hparams, vocab.text, tensors, reader.size)


def _magic(reader: Reader) -> tuple[Container, int]:
    magic = MAGICS.get(reader.take(4, "the magic"))
    if magic is None:
        raise reader.error("this is not a GGML file of 2023 (no magic)", 0)
    if magic == "ggml":
        return magic, 0
    version = reader.u32("the version")
    if version not in _VERSIONS[magic]:
        raise reader.error(f"{magic} version {version} is not known", 4)
    return magic, version


def _hparams(reader: Reader, family: Family) -> HParams:
    start = reader.position
    names = [name for name in _LIMITS if family == "llama" or name != "n_rot"]
    values = {name: reader.u32(name) for name in names}
    for at, (name, value) in enumerate(values.items()):
        if not 0 < value <= _LIMITS[name]:
            raise reader.error(f"{name} is {value}, which no model has", start + 4 * at)
    ftype = reader.u32("ftype")
    if ftype > _MAX_FTYPE[family]:
        raise reader.error(f"{ftype} is no file type of {family}", reader.position - 4)
    return HParams(**{"n_rot": 0, **values, "ftype": ftype})


def _vocabulary(reader: Reader, count: int, *, scores: bool) -> Strings:
    trailer = 4 if scores else 0
    return reader.skip_strings(count, wide=False, trailer=trailer, what="token")


def _tensors(reader: Reader, layout: ggml_types.Layout, alignment: int) -> Iterator[TensorInfo]:
    seen: set[str] = set()
    while reader.remaining:
        start = reader.position
        one = _tensor(reader, len(seen), layout, alignment)
        if one.name in seen:
            raise reader.error(f"the tensor name {one.name!r} appears twice", start)
        seen.add(one.name)
        if len(seen) > _MAX_TENSORS:
            raise reader.error(f"there are more than {_MAX_TENSORS} tensors", start)
        yield one
    if not seen:
        raise reader.error("there are no tensors")


def _check_names(reader: Reader, tensors: tuple[TensorInfo, ...], wanted: set[str]) -> None:
    found = {one.name for one in tensors}
    for names, problem in ((wanted - found, "is missing"), (found - wanted, "is unknown")):
        if names:
            raise reader.error(f"of {len(names)} tensors, {min(names)!r} first, each {problem}")


def _tensor(reader: Reader, index: int, layout: ggml_types.Layout, alignment: int) -> TensorInfo:
    start = reader.position
    name, shape, type_id = _tensor_header(reader, index)
    try:
        kind = ggml_types.type_by_id(type_id, layout)
        nbytes = ggml_types.tensor_bytes(kind, shape)
    except FormatError as error:
        raise reader.error(f"tensor {name!r}: {error.message}", start) from error
    reader.skip(-reader.position % alignment, f"the padding of {name!r}")
    offset = reader.position
    reader.skip(nbytes, f"tensor {name!r}")
    return TensorInfo(name, shape, type_id, kind.name, offset, nbytes)


def _tensor_header(reader: Reader, index: int) -> tuple[str, tuple[int, ...], int]:
    start = reader.position
    what = f"the header of tensor {index}"
    dimensions, length, type_id = struct.unpack("<3I", reader.take(12, what))
    if dimensions not in (1, 2):
        raise reader.error(f"tensor {index} has {dimensions} dimensions, not 1 or 2", start)
    shape = tuple(reader.u32(what) for _ in range(dimensions))
    name = reader.text(length, f"the name of tensor {index}", _MAX_NAME)
    if not name or "\0" in name or 0 in shape:
        raise reader.error(f"tensor {index} has no proper name or shape", start)
    return name, shape, type_id
