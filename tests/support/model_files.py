"""Writers of small model files, the mirror image of the readers under test."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.modelfiles import ggml, ggml_types

SCALARS = {
    "u8": (0, "<B"),
    "i8": (1, "<b"),
    "u16": (2, "<H"),
    "i16": (3, "<h"),
    "u32": (4, "<I"),
    "i32": (5, "<i"),
    "f32": (6, "<f"),
    "bool": (7, "<B"),
    "u64": (10, "<Q"),
    "i64": (11, "<q"),
    "f64": (12, "<d"),
}


# Finite numbers and scales of every type, and no two neighbours alike.
_WEIGHTS = bytes(range(1, 60))


def pad(data: bytes, alignment: int) -> bytes:
    return data + b"\0" * (-len(data) % alignment)


def gguf_text(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


@dataclass(frozen=True)
class KV:
    """A value with its GGUF type; ``item`` is set for arrays."""

    type: str
    value: Any
    item: str = ""

    def encode(self) -> bytes:
        if self.type == "arr":
            number = 8 if self.item == "str" else SCALARS[self.item][0]
            items = b"".join(_encode(self.item, one) for one in self.value)
            return struct.pack("<IIQ", 9, number, len(self.value)) + items
        number = 8 if self.type == "str" else SCALARS[self.type][0]
        return struct.pack("<I", number) + _encode(self.type, self.value)


def _encode(kind: str, value: Any) -> bytes:
    return gguf_text(value) if kind == "str" else struct.pack(SCALARS[kind][1], value)


@dataclass(frozen=True)
class Tensor:
    """A tensor to write: row length first; ``offset`` overrides the right place."""

    name: str
    shape: Sequence[int]
    type: str = "F32"
    offset: int | None = None
    type_id: int | None = None


@dataclass(frozen=True)
class GGUFSpec:
    """What ``gguf_bytes`` writes; the counts can be made to lie."""

    fields: Mapping[str, KV] = field(default_factory=dict)
    tensors: Sequence[Tensor] = ()
    version: int = 3
    alignment: int = 32
    n_tensors: int | None = None
    n_keys: int | None = None


def gguf_header(spec: GGUFSpec) -> bytes:
    """The bytes up to the data section, padding included when there are tensors."""
    n_tensors = len(spec.tensors) if spec.n_tensors is None else spec.n_tensors
    n_keys = len(spec.fields) if spec.n_keys is None else spec.n_keys
    out = b"GGUF" + struct.pack("<IQQ", spec.version, n_tensors, n_keys)
    for key, value in spec.fields.items():
        out += gguf_text(key) + value.encode()
    place = 0
    for one in spec.tensors:
        kind = ggml_types.type_by_name(one.type)
        out += gguf_text(one.name) + struct.pack("<I", len(one.shape))
        out += struct.pack(f"<{len(one.shape)}Q", *one.shape)
        number = kind.id if one.type_id is None else one.type_id
        out += struct.pack("<IQ", number, place if one.offset is None else one.offset)
        place += len(_data(one, spec.alignment))
    return pad(out, spec.alignment) if spec.tensors else out


def _data(one: Tensor, alignment: int) -> bytes:
    size = ggml_types.tensor_bytes(one.type, one.shape)
    return pad((_WEIGHTS * (size // len(_WEIGHTS) + 1))[:size], alignment)


def gguf_bytes(spec: GGUFSpec) -> bytes:
    return gguf_header(spec) + b"".join(_data(one, spec.alignment) for one in spec.tensors)


@dataclass(frozen=True)
class GGMLSpec:
    """What ``ggml_bytes`` writes."""

    magic: str = "ggjt"
    version: int = 1
    family: str = "llama"
    hparams: Mapping[str, int] = field(default_factory=dict)
    tokens: Sequence[bytes] = (b"<unk>", b"", b"a")
    tensors: Sequence[Tensor] = (Tensor("tok_embeddings.weight", (32, 3), "F16"),)


def ggml_bytes(spec: GGMLSpec) -> bytes:
    numbers = {"n_vocab": len(spec.tokens), "n_embd": 32, "n_mult": 256, "n_head": 2}
    numbers |= {"n_layer": 1, "n_rot": 16, "ftype": 1, **spec.hparams}
    if spec.family == "bloom":
        del numbers["n_rot"]
    out = spec.magic.encode()[::-1]
    out += struct.pack("<I", spec.version) if spec.magic != "ggml" else b""
    out += struct.pack(f"<{len(numbers)}I", *numbers.values())
    score = b"" if spec.magic == "ggml" else struct.pack("<f", -1.5)
    out += b"".join(struct.pack("<I", len(one)) + one + score for one in spec.tokens)
    return _ggml_tensors(out, spec)


def _ggml_tensors(out: bytes, spec: GGMLSpec) -> bytes:
    layout: ggml_types.Layout = "ggjt-v1"
    if spec.magic == "ggjt":
        layouts: dict[int, ggml_types.Layout] = {2: "ggjt-v2", 3: "ggjt-v3"}
        layout = layouts.get(spec.version, "ggjt-v1")
    for one in spec.tensors:
        kind = ggml_types.type_by_name(one.type, layout)
        number = kind.id if one.type_id is None else one.type_id
        out += struct.pack("<3I", len(one.shape), len(one.name.encode()), number)
        out += struct.pack(f"<{len(one.shape)}I", *one.shape) + one.name.encode()
        out = pad(out, 32 if spec.magic == "ggjt" else 1)
        out += b"\1" * ggml_types.tensor_bytes(kind, one.shape)
    return out


def whole_model(family: ggml.Family, layers: int = 1) -> list[Tensor]:
    """Small tensors under the names that a complete file has."""
    return [Tensor(name, (2,)) for name in sorted(ggml.tensor_names(family, layers))]


def as_f16(tensors: Iterable[tuple[str, tuple[int, ...]]]) -> list[Tensor]:
    """Shapes as the converters of 2023 write them: matrices F16, the rest F32."""
    return [Tensor(name, shape, "F16" if len(shape) == 2 else "F32") for name, shape in tensors]


def safetensors_bytes(text: bytes, data: int, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + b"\1" * data
