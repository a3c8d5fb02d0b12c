"""Open a Hugging Face model folder: its configuration and where every tensor's bytes lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import json_text
from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles.merging import torch_zip
from orchestrator.modelfiles.merging.tensor_location import TensorRef
from orchestrator.modelfiles.safetensors import parse_header, read_header

MODEL_CONFIG = "config.json"
MAX_JSON_BYTES = 64 * 2**20
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_COMPARE_BYTES = 4 * 2**20
_FETCH_AGAIN = "Fetch the model again; if it stays so, the published one is incomplete."


@dataclass(frozen=True)
class Checkpoint:
    """A model folder that was opened: ``tensors`` by name, in the order of its files."""

    folder: Path
    config: Mapping[str, JSON]
    tensors: Mapping[str, TensorRef]


def open_checkpoint(folder: Path, config: str = MODEL_CONFIG) -> Checkpoint:
    """Read configuration, index and headers of ``folder``; no weight is read.

    safetensors goes before ``.bin`` and one file before shards, as transformers chooses. An
    adapter has another ``config`` than a model, and its weights are called like that.

    Raises:
        StepError: no weights, a file that is missing or damaged, a name in two files.
    """
    files, index, read = _weight_files(folder, config)
    tensors: dict[str, TensorRef] = {}
    for file in files:
        if not (folder / file).is_file():
            raise StepError(f"{folder / file} is missing, but the index names it.", _FETCH_AGAIN)
        for ref in read(folder / file):
            if ref.name in tensors:
                raise StepError(f"{folder}: {ref.name!r} is in two files.", _FETCH_AGAIN)
            tensors[ref.name] = ref
    _check_index(folder, index, tensors)
    return Checkpoint(folder, read_json(folder / config), tensors)


def outlined(folder: Path, config: str = MODEL_CONFIG) -> Checkpoint:
    """What an outline (see ``steps.inspect_model``) tells of a model whose weights are elsewhere.

    Tensors have their names alone where only an index tells them, and no type then; there are
    none where nothing does.

    Raises:
        StepError: Its configuration, index or a header is not what it must be.
    """
    tensors: dict[str, TensorRef] = {}
    weights = read_json(folder / "weights.json")
    if all("header" in entry for entry in weights.values()):
        for name, entry in weights.items():
            head = (folder / entry["header"]).read_bytes()
            for one in parse_header(head, entry["size"], name).tensors:
                tensors[one.name] = TensorRef(one.name, one.dtype, one.shape, Path(name), 0, 0)
    else:
        for index in sorted((folder / "small").glob("*.bin.index.json")):
            names = read_json(index).get("weight_map")
            for name in names if isinstance(names, dict) else ():
                tensors[name] = TensorRef(name, "", (), index, 0, 0)
    return Checkpoint(folder, read_json(folder / "small" / config), tensors)


def same_bytes(one: TensorRef, other: TensorRef) -> bool:
    """Whether two tensors have type, shape and every byte in common."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    if (one.file, one.offset) == (other.file, other.offset):
        return True
    with one.file.open("rb") as left, other.file.open("rb") as right:
        left.seek(one.offset)
        right.seek(other.offset)
        for start in range(0, one.nbytes, _COMPARE_BYTES):
            size = min(_COMPARE_BYTES, one.nbytes - start)
            if left.read(size) != right.read(size):
                return False
    return True


def read_json(path: Path) -> dict[str, JSON]:
    """Return the JSON object in ``path``, a small file.

    Raises:
        StepError: missing, too large, or not a JSON object.
    """
    if not path.is_file():
        raise StepError(f"{path} is missing.", _FETCH_AGAIN)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise StepError(f"{path} has more than {MAX_JSON_BYTES} bytes.", _FETCH_AGAIN)
    try:
        value = json_text.parse(path.read_bytes(), finite=False)
    except ValueError as error:
        raise StepError(f"{path} is not JSON ({str(error)[:100]}).", _FETCH_AGAIN) from None
    if not isinstance(value, dict):
        raise StepError(f"{path} is not a JSON object.", _FETCH_AGAIN)
    return value


Reader = Callable[[Path], tuple[TensorRef, ...]]


def _weight_files(folder: Path, config: str) -> tuple[list[str], dict[str, str], Reader]:
    whole = ("model.safetensors", "pytorch_model.bin")
    if config != MODEL_CONFIG:
        whole = ADAPTER_WEIGHTS
    for name, read in zip(whole, (_read_safetensors, torch_zip.read_tensors), strict=True):
        if (folder / name).is_file():
            return [name], {}, read
        index = folder / f"{name}.index.json"
        if index.is_file():
            weight_map = _weight_map(index, name)
            return sorted(set(weight_map.values())), weight_map, read
    raise StepError(
        f"{folder} holds no weights: neither {whole[0]} nor {whole[1]}, whole or in shards.",
        "A merge needs Hugging Face folders on both sides.",
    )


def _weight_map(index: Path, whole: str) -> dict[str, str]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise StepError(f"{index} has no weight_map.", _FETCH_AGAIN)
    for file in weight_map.values():
        # A shard is a plain name beside its index, never a path.
        if (
            not isinstance(file, str)
            or set(file) & set("/\\:\0")
            or Path(file).suffix != Path(whole).suffix
        ):
            raise StepError(f"{index} names {str(file)[:100]!r} as a shard.", _FETCH_AGAIN)
    return weight_map


def _check_index(folder: Path, index: Mapping[str, str], tensors: Mapping[str, TensorRef]) -> None:
    for name, file in index.items():
        if name not in tensors or tensors[name].file.name != file:
            raise StepError(
                f"{folder}: the index says that {name!r} is in {file}, but it is not.",
                _FETCH_AGAIN,
            )


def _read_safetensors(path: Path) -> tuple[TensorRef, ...]:
    header = read_header(path)
    return tuple(
        TensorRef(one.name, one.dtype, one.shape, path, header.data_offset + one.start, one.nbytes)
        for one in header.tensors
    )
