"""Tiny model folders from integer arithmetic, written and read without the code under test.

scripts/golden_merge.py hands the same pairs to LLMZoo's own tool and torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY = 320
HIDDEN, FFN, LAYERS = 16, 24, 2
_BITS = {"F16": np.uint16, "BF16": np.uint16, "F32": np.uint32}
_STORAGE = {"F16": "Half", "BF16": "BFloat16", "F32": "Float", "I64": "Long", "BOOL": "Bool"}


@dataclass(frozen=True)
class Tensor:
    dtype: str
    shape: tuple[int, ...]
    data: bytes


Tensors = dict[str, Tensor]


def make(dtype: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Spread over all signs, mantissas and the exponents -30 to 9 (of F16: all up to 10)."""
    count = math.prod(shape)
    i = np.arange(count, dtype=np.uint64) + np.uint64(seed * 7919)
    noise = ((i * np.uint64(2654435761)) >> np.uint64(7)) % np.uint64(1 << 31)
    sign, exponent = noise & np.uint64(1), (noise >> np.uint64(1)) % np.uint64(40)
    mantissa = noise >> np.uint64(8)
    if dtype == "F16":
        bits = (sign << 15) | ((exponent % 26) << 10) | (mantissa & 0x3FF)
    elif dtype == "BF16":
        bits = (sign << 15) | ((exponent + 97) << 7) | (mantissa & 0x7F)
    else:
        bits = (sign << 31) | ((exponent + 97) << 23) | (mantissa & 0x7FFFFF)
    return Tensor(dtype, shape, bits.astype(_BITS[dtype]).tobytes())


def llama(vocabulary: int, dtype: str, seed: int) -> Tensors:
    """The tensors of a LlamaForCausalLM, in its state dictionary's order."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for part, rows in (("q", HIDDEN), ("k", HIDDEN // 2), ("v", HIDDEN // 2), ("o", HIDDEN)):
            shapes[f"{at}self_attn.{part}_proj.weight"] = (rows, HIDDEN)
        shapes[at + "mlp.gate_proj.weight"] = (FFN, HIDDEN)
        shapes[at + "mlp.up_proj.weight"] = (FFN, HIDDEN)
        shapes[at + "mlp.down_proj.weight"] = (HIDDEN, FFN)
        shapes[at + "input_layernorm.weight"] = (HIDDEN,)
        shapes[at + "post_attention_layernorm.weight"] = (HIDDEN,)
    shapes["model.norm.weight"] = (HIDDEN,)
    shapes["lm_head.weight"] = (vocabulary, HIDDEN)
    return {
        name: make(dtype, shape, seed + number)
        for number, (name, shape) in enumerate(shapes.items())
    }


def config(vocabulary: int, **more: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_attention_heads": 2,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": 1,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "vocab_size": vocabulary,
        **more,
    }


def write_model(
    folder: Path,
    tensors: Tensors,
    kind: str = "safetensors",
    shards: int = 1,
    **more: Any,
) -> Path:
    """A model folder; ``kind`` is safetensors or bin, ``more`` goes to config.json."""
    folder.mkdir(parents=True)
    stem = "model" if kind == "safetensors" else "pytorch_model"
    write = write_safetensors if kind == "safetensors" else write_bin
    rows = tensors["model.embed_tokens.weight"].shape[0]
    (folder / "config.json").write_text(json.dumps(config(rows, **more)))
    (folder / "tokenizer.model").write_bytes(folder.name.encode())
    if shards == 1:
        write(folder / f"{stem}.{kind}", tensors)
        return folder
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for number in range(shards):
        file = f"{stem}-{number + 1:05}-of-{shards:05}.{kind}"
        part = names[len(names) * number // shards : len(names) * (number + 1) // shards]
        write(folder / file, {name: tensors[name] for name in part})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps(index))
    return folder


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    entries, position = {}, 0
    for name, tensor in tensors.items():
        end = position + len(tensor.data)
        entries[name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [position, end],
        }
        position = end
    header = json.dumps(entries).encode()
    data = b"".join(tensor.data for tensor in tensors.values())
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def call(function: str, arguments: bytes) -> bytes:
    module, _, name = function.rpartition(".")
    return f"c{module}\n{name}\n".encode() + b"(" + arguments + b"tR"


def sizes(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind: str, key: str, count: int) -> bytes:
    name = f"ctorch\n{kind}Storage\n".encode()
    return b"(" + text("storage") + name + text(key) + text("cpu") + number(count) + b"tQ"


def strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def rebuilt(
    store: bytes, offset: int, shape: tuple[int, ...], stride: tuple[int, ...] | None = None
) -> bytes:
    """The opcodes that stand for a tensor."""
    stride = strides(shape) if stride is None else stride
    hooks = call("collections.OrderedDict", b"")
    parts = store + number(offset) + sizes(shape) + sizes(stride) + b"\x89" + hooks
    return call("torch._utils._rebuild_tensor_v2", parts)


def state_dict(entries: Mapping[str, bytes]) -> bytes:
    """A pickle of a dictionary whose values are given as opcodes."""
    items = b"".join(text(name) + value for name, value in entries.items())
    return b"\x80\x02" + call("collections.OrderedDict", b"") + b"(" + items + b"u."


def archive(pickled: bytes, storages: Mapping[str, bytes], **member: bytes) -> bytes:
    """A checkpoint as torch.save lays it out."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("archive/data.pkl", pickled)
        out.writestr("archive/byteorder", b"little")
        for key, data in storages.items():
            out.writestr(f"archive/data/{key}", data)
        for name, data in member.items():
            out.writestr(f"archive/{name}", data)
    return file.getvalue()


def write_bin(path: Path, tensors: Mapping[str, Tensor]) -> None:
    entries, storages = {}, {}
    for key, (name, tensor) in enumerate(tensors.items()):
        store = storage(_STORAGE[tensor.dtype], str(key), math.prod(tensor.shape))
        entries[name] = rebuilt(store, 0, tensor.shape)
        storages[str(key)] = tensor.data
    path.write_bytes(archive(state_dict(entries), storages, version=b"3\n"))


def read_model(folder: Path) -> Tensors:
    """All tensors of a folder of safetensors files, in the order of its index."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return read_safetensors(folder / "model.safetensors")
    found: Tensors = {}
    weight_map = json.loads(index.read_text())["weight_map"]
    for file in sorted(set(weight_map.values())):
        part = read_safetensors(folder / file)
        assert part.keys() == {name for name, where in weight_map.items() if where == file}
        found |= part
    return {name: found[name] for name in weight_map}


def read_safetensors(path: Path) -> Tensors:
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {
        name: Tensor(
            entry["dtype"],
            tuple(entry["shape"]),
            data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
        )
        for name, entry in header.items()
    }


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over name, type, shape and data of every tensor by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.data)
    return total.hexdigest()
