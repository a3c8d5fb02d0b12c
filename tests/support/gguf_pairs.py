"""Small GGUF and GGML files with the data that a test wants."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.modelfiles.comparing.opened_files import Located, open_model
from orchestrator.modelfiles.ggml_types import tensor_bytes
from tests.support.model_files import (
    KV,
    GGMLSpec,
    GGUFSpec,
    Tensor,
    ggml_bytes,
    gguf_header,
    pad,
    whole_model,
)

FIELDS: Mapping[str, KV] = {
    "general.architecture": KV("str", "llama"),
    "general.file_type": KV("u32", 2),
    "tokenizer.ggml.tokens": KV("arr", ["<unk>", "a", "b"], "str"),
    "tokenizer.ggml.scores": KV("arr", [0.0, -1.0, -2.0], "f32"),
}
SOME = (
    Tensor("embd", (256, 3), "F16"),
    Tensor("norm", (5,), "F32"),
    Tensor("attn", (256, 2), "Q4_0"),
    Tensor("ffn", (512, 2), "Q4_K"),
    Tensor("output", (256, 4), "IQ4_XS"),
)


@dataclass(frozen=True)
class Model:
    """What to write; tensors without ``data`` get bytes that follow from their names."""

    tensors: Sequence[Tensor] = SOME
    fields: Mapping[str, KV] = field(default_factory=lambda: FIELDS)
    data: Mapping[str, bytes] = field(default_factory=dict)
    version: int = 3


def data_of(one: Tensor) -> bytes:
    """Bytes of sound values: halves, floats and scales stay small and finite."""
    count = tensor_bytes(one.type, tuple(one.shape))
    return random.Random(one.name).randbytes(count).translate(bytes(b & 0x3B for b in range(256)))


def write_gguf(path: Path, model: Model) -> Path:
    header = gguf_header(GGUFSpec(dict(model.fields), model.tensors, model.version))
    data = (pad(model.data.get(one.name, data_of(one)), 32) for one in model.tensors)
    path.write_bytes(header + b"".join(data))
    return path


def write_parts(folder: Path, model: Model, cuts: Sequence[int], stem: str = "m") -> list[Path]:
    """The model in ``len(cuts) + 1`` files; all keys are in the first one."""
    edges = [0, *cuts, len(model.tensors)]
    count = len(edges) - 1
    paths = []
    for number in range(count):
        split = {
            "split.no": KV("u16", number),
            "split.count": KV("u16", count),
            "split.tensors.count": KV("i32", len(model.tensors)),
        }
        fields = {**model.fields, **split} if number == 0 else split
        tensors = model.tensors[edges[number] : edges[number + 1]]
        path = folder / f"{stem}-{number + 1:05}-of-{count:05}.gguf"
        paths.append(write_gguf(path, Model(tensors, fields, model.data)))
    return paths


def write_ggml(path: Path, family: str, types: Mapping[str, str], **spec: object) -> Path:
    """A whole model of one layer; ``types`` gives some tensors a type and 64 x 2 elements."""
    tensors = [
        Tensor(one.name, (64, 2), types[one.name]) if one.name in types else one
        for one in whole_model("bloom" if family == "bloom" else "llama")
    ]
    path.write_bytes(ggml_bytes(GGMLSpec(family=family, tensors=tensors, **spec)))  # type: ignore[arg-type]
    return path


def tensor(path: Path, name: str) -> Located:
    return next(one for one in open_model(path).tensors if one.name == name)


def flip(path: Path, at: int, into: Path, mask: int = 1) -> Path:
    """A copy of ``path`` whose byte ``at`` has other bits."""
    data = bytearray(path.read_bytes())
    data[at] ^= mask
    into.write_bytes(data)
    return into
