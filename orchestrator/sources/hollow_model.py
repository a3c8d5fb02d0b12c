"""A model's folder before its weights are fetched: small files, and weight files of holes.

A weight file is written as its header and then given its full length with ``truncate``. Of
pickled weights, which have no header, the shapes are those that config.json describes.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Mapping, Set
from pathlib import Path

from orchestrator.base import json_text
from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import foreign_code, gguf, lfs_pointer, safetensors
from orchestrator.toolchain import call_verb

_DTYPES = {"float16": ("F16", 2), "bfloat16": ("BF16", 2), "float32": ("F32", 4)}


def small_files(outline: Path, model: Path) -> None:
    """Copy the small files of an outline.

    Raises:
        StepError: One of them is only what git-lfs keeps in its place.
    """
    shutil.copytree(outline / "small", model)
    lfs_pointer.refuse((path.name, path) for path in model.rglob("*") if path.is_file())


def beside_adapter(task: Task) -> dict[str, JSON]:
    """What the converter of adapters reads beside one, by the names in its argv; else nothing."""
    if "script" not in task.inputs:
        return {}
    base = task.scratch / "base"
    small_files(task.inputs["base"], base)
    foreign_code.remove(base)
    return {"base": str(base), "script": str(task.inputs["script"])}


def gguf_of_header(header: Path, target: Path) -> Path:
    """Write a GGUF file of a header alone and give it its full length; returns its path."""
    shutil.copyfile(header, target)
    found = gguf.read(target, partial=True)
    os.truncate(target, gguf.pad(found.data_end, found.alignment))
    return target


def weights(task: Task, outline: Path, model: Path) -> set[str]:
    """Lay out the weight files as they will be, with holes for tensors.

    Returns:
        The names of the source's tensors; none where nothing says them before they are read.

    Raises:
        StepError: As :func:`from_shapes`.
    """
    listed = json.loads((outline / "weights.json").read_text())
    if any("header" not in entry for entry in listed.values()):
        return from_shapes(task, model)
    names: set[str] = set()
    for name, entry in listed.items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        head = (outline / entry["header"]).read_bytes()
        safetensors.write_hole(head, entry["size"], model / name)
        parsed = safetensors.parse_header(head, entry["size"], name)
        names |= {tensor.name for tensor in parsed.tensors}
    return names


def from_shapes(task: Task, model: Path) -> set[str]:
    """Lay out one safetensors hole with the shapes of the model that config.json describes.

    Returns:
        The names in the index of the weight files, if there is one.

    Raises:
        StepError: The verb ``shapes`` does not know such a model.
    """
    names = _indexed(model)
    listed = task.scratch / "shapes.json"
    trusted = bool(task.step.params["trust_remote_code"])
    values = {"input": str(model), "output": str(listed), "trust_remote_code": trusted}
    call_verb.call(task, "shapes", values, cwd=task.scratch)
    head, size = _header(stored(json.loads(listed.read_text()), names))
    safetensors.write_hole(head, size, model / "model.safetensors")
    return names


def _indexed(model: Path) -> set[str]:
    """The names that a shard index lists, if there is one; it does not fit the hole."""
    names: set[str] = set()
    for index in model.glob("*.index.json"):
        try:
            names |= set(json_text.parse(index.read_bytes())["weight_map"])
        except (ValueError, KeyError, TypeError) as error:
            raise StepError(f"{index.name} is no index of shards: {error}") from error
        index.unlink()
    return names


def stored(shapes: Mapping[str, JSON], names: Set[str]) -> dict[str, JSON]:
    """The tensors that the checkpoint holds, under its own names.

    Without an index tied tensors are taken to be left out, as transformers does today; names
    in an index that the model lacks are buffers, which converters leave out too.
    """
    tensors, prefix = shapes["tensors"], f"{shapes['prefix']}."
    if not names:
        return {name: one for name, one in tensors.items() if name not in shapes["tied"]}
    whole = {name: name if name in tensors else prefix + name for name in sorted(names)}
    return {name: tensors[known] for name, known in whole.items() if known in tensors}


def _header(shapes: Mapping[str, JSON]) -> tuple[bytes, int]:
    """A safetensors header for these shapes, and the size of the file it belongs to."""
    entries: dict[str, JSON] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, one in shapes.items():
        if one["dtype"] not in _DTYPES:
            continue
        dtype, width = _DTYPES[one["dtype"]]
        size = width
        for extent in one["shape"]:
            size *= extent
        entries[name] = {
            "dtype": dtype,
            "shape": one["shape"],
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, 8 + len(text) + offset
