"""Damage, planted in a model folder or in the file that was converted from one."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.modelfiles import gguf, safetensors

Matrix = NDArray[np.float16]
Plant = Callable[[Path], None]

WEIGHTS = "model.safetensors"
FILE = "model.gguf"
# How each format calls the tensors that are damaged here.
_NAMES: Mapping[str, tuple[str, str]] = {
    "embeddings": ("model.embed_tokens.weight", "token_embd.weight"),
    "output": ("lm_head.weight", "output.weight"),
    "query 0": ("model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"),
    "query 1": ("model.layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight"),
    "gate": ("model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight"),
    "up": ("model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight"),
    "down": ("model.layers.1.mlp.down_proj.weight", "blk.1.ffn_down.weight"),
}


def matrix(folder: Path, name: str) -> Matrix:
    """A matrix of a model folder or of a converted file, to be changed in place."""
    theirs, ours = _NAMES[name]
    if (folder / WEIGHTS).is_file():
        path, header = folder / WEIGHTS, safetensors.read_header(folder / WEIGHTS)
        one = next(tensor for tensor in header.tensors if tensor.name == theirs)
        return np.memmap(path, np.float16, "r+", header.data_offset + one.start, one.shape)
    path, file = folder / FILE, gguf.read(folder / FILE)
    info = next(tensor for tensor in file.tensors if tensor.name == ours)
    return np.memmap(path, np.float16, "r+", file.data_offset + info.offset, info.shape[::-1])


def weights(change: Callable[..., Any], *names: str) -> Plant:
    """A change of matrices, which get what it returns."""

    def plant(folder: Path) -> None:
        found = [matrix(folder, name) for name in names]
        changed = change(*(np.array(one) for one in found))
        for one, new in zip(found, changed if len(names) > 1 else [changed], strict=True):
            one[:] = new

    return plant


def config(file: str = "config.json", **changes: Any) -> Plant:
    """Other values in one of a model folder's files of JSON."""

    def plant(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return plant


def metadata(**values: tuple[str, Any]) -> Plant:
    """Other values in a converted file, as (struct format, value), at the keys' ends."""

    def plant(folder: Path) -> None:
        data = bytearray((folder / FILE).read_bytes())
        for name, (form, value) in values.items():
            key = name.replace("__", ".").encode()
            at = data.index(key + struct.pack("<I", _KINDS[form])) + len(key) + 4
            struct.pack_into(f"<{form}", data, at, value)
        (folder / FILE).write_bytes(data)

    return plant


_KINDS: Mapping[str, int] = {"I": 4, "f": 6, "?": 7}


def both(*plants: Plant) -> Plant:
    def plant(folder: Path) -> None:
        for one in plants:
            one(folder)

    return plant


def exchanged(one: Matrix, other: Matrix) -> tuple[Matrix, Matrix]:
    return other, one


def flipped(one: Matrix, mask: int) -> Matrix:
    """The same but for bits of one number in the middle."""
    one.view(np.uint16)[one.shape[0] // 2, one.shape[1] // 2] ^= mask
    return one


def cut(folder: Path) -> None:
    """Without the last tenth of the weights."""
    path = folder / (WEIGHTS if (folder / WEIGHTS).is_file() else FILE)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
