"""Run upstream's converter on weight files of holes: the header of the file to come.

A weight file is written as its header and then given its full length with ``truncate``; the
converter's tensors are lazy and its writer is told to leave holes too, so a 13 GB model
costs a few seconds and kilobytes. The same run finds out whether the architecture and the
tokenizer are known at all.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping, Set
from pathlib import Path

from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import foreign_code, gguf, lfs_pointer, safetensors, source_configs
from orchestrator.modelfiles.merging.delta import TOKENIZER_FILES, merged_config
from orchestrator.toolchain import call_verb

HEADER = "header.gguf"
_DTYPES = {"float16": ("F16", 2), "bfloat16": ("BF16", 2), "float32": ("F32", 4)}


def run(task: Task) -> dict[str, JSON]:
    """Write ``header.gguf``: the converted file without its tensors' data.

    Returns:
        Facts: ``size`` of the whole file in bytes, ``parameters``, ``vocabulary``, and
        ``contradictions`` (:mod:`orchestrator.modelfiles.source_configs`) if there are any.

    Raises:
        StepError: The converter does not know the architecture or the tokenizer.
    """
    params = task.step.params
    model = task.scratch / params["model_name"]
    merged = "model" not in task.inputs
    if merged:
        _small_files_of_merge(task, model)
    else:
        shutil.copytree(task.inputs["model"] / "small", model)
        lfs_pointer.refuse((path.name, path) for path in model.rglob("*") if path.is_file())
    removed = () if params["trust_remote_code"] else foreign_code.remove(model)
    output = task.scratch / params["file"]
    values = {**params, "input": str(model), "output": str(output)}
    with foreign_code.explained(removed):
        if merged:
            _from_shapes(task, model)
        else:
            _lay_out_weights(task, task.inputs["model"], model)
        call_verb.call(task, "describe", values, cwd=task.scratch)
    found = gguf.read(output)
    _keep_header(output, found.data_offset, task.workdir / HEADER)
    return {
        "size": found.file_size,
        "parameters": found.n_elements,
        "vocabulary": _vocabulary(found),
        **source_configs.facts(model, output),
    }


def _vocabulary(found: gguf.GGUF) -> int:
    tokens = found.metadata.get("tokenizer.ggml.tokens")
    return tokens.count if isinstance(tokens, gguf.ArrayInfo) else 0


def _keep_header(path: Path, length: int, target: Path) -> None:
    with path.open("rb") as source, target.open("wb") as out:
        remaining = length
        while remaining:
            chunk = source.read(min(remaining, 1 << 20))
            out.write(chunk)
            remaining -= len(chunk)


def _lay_out_weights(task: Task, outline: Path, model: Path) -> None:
    """The weight files as they will be, with holes for tensors."""
    weights = json.loads((outline / "weights.json").read_text())
    if any("header" not in entry for entry in weights.values()):
        _from_shapes(task, model)
        return
    for name, entry in weights.items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        head = (outline / entry["header"]).read_bytes()
        safetensors.write_hole(head, entry["size"], model / name)


def _small_files_of_merge(task: Task, model: Path) -> None:
    """What merging base and delta will give beside weights: the delta's tokenizer."""
    model.mkdir()
    base, delta = task.inputs["base"] / "small", task.inputs["delta"] / "small"
    for name in TOKENIZER_FILES:
        if (delta / name).is_file():
            shutil.copyfile(delta / name, model / name)
    if (base / "generation_config.json").is_file():
        shutil.copyfile(base / "generation_config.json", model / "generation_config.json")
    rows = json.loads((delta / "config.json").read_text()).get("vocab_size")
    config = merged_config(json.loads((base / "config.json").read_text()), rows, base)
    (model / "config.json").write_text(json.dumps(config))


def _from_shapes(task: Task, model: Path) -> None:
    """One safetensors hole with the shapes of the model that config.json describes."""
    names = _indexed(model)
    listed = task.scratch / "shapes.json"
    trusted = bool(task.step.params["trust_remote_code"])
    values = {"input": str(model), "output": str(listed), "trust_remote_code": trusted}
    call_verb.call(task, "shapes", values, cwd=task.scratch)
    head, size = _header(stored(json.loads(listed.read_text()), names))
    safetensors.write_hole(head, size, model / "model.safetensors")


def _indexed(model: Path) -> set[str]:
    """The names that a shard index lists, if there is one; it does not fit the hole."""
    names: set[str] = set()
    for index in model.glob("*.index.json"):
        names |= set(json.loads(index.read_text())["weight_map"])
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
