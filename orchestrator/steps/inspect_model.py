"""Describe a model by its small files and its tensors' headers; no weight is read.

The artifact holds ``small/`` (configuration, tokenizer), ``headers/`` (the first bytes of
each safetensors file) and ``weights.json`` (each weight file's size and, where it could be
had, its header). That is a few kilobytes to a few megabytes for a model of any size.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from orchestrator.base import units
from orchestrator.base.errors import EnvironmentProblem
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import lfs_pointer, safetensors
from orchestrator.sources import range_requests
from orchestrator.sources.choose_model_files import (
    SAFETENSORS,
    HubFile,
    other_layout,
    select,
    select_adapter,
)
from orchestrator.sources.hub.wanted_files import folder_of, hub_selection

_SCALE = re.compile(r"[._](scales?|scale_inv|SCB|absmax|qzeros)$")


def run(task: Task) -> dict[str, JSON]:
    """Write the outline of the step's source.

    Returns:
        Facts: ``fetch_bytes`` (of all wanted files), the ``weights`` format, and
        ``notes`` if something of them is odd.

    Raises:
        UsageError, EnvironmentProblem, StepError: The source cannot be listed or read.
    """
    (task.workdir / "small").mkdir()
    (task.workdir / "headers").mkdir()
    kind = task.step.params["source"]["kind"]
    if kind == "hub":
        weights, others, left_out, beside = _from_hub(task)
    elif kind != "path":
        weights, others, left_out, beside = _from_elsewhere(task), (), "", ""
    else:
        weights, others, left_out, beside = _from_folder(task)
    _write(task.workdir, weights)
    stated = task.step.params["format"] in ("hf", "mistral")
    total = sum(item["size"] for item in weights.values()) + sum(file.size for file in others)
    kinds = {Path(name).suffix.lstrip(".") for name in weights}
    notes = _left_out(left_out, "is quantized", weights) + _notes(weights)
    notes += _left_out(beside, "is the model in another layout", weights)
    return {
        "fetch_bytes": total,
        "weights": ",".join(sorted(kinds)),
        # Of one file in another format its bytes say nothing: it may be quantized.
        "parameters": _parameters(weights) if stated else 0,
        **({"notes": notes} if notes else {}),
    }


def _left_out(name: str, why: str, weights: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    """That a file was not taken."""
    taken = next(iter(weights), "")
    said = f"{name} {why} and was left out: the model is made of {taken}"
    said += f" and {len(weights) - 1} more." if len(weights) > 1 else "."
    return [{"message": said, "numbers": {"left out": name}}] if name else []


def _notes(weights: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    """Tensors of small whole numbers that nothing beside them scales."""
    parsed = [
        safetensors.parse_header(item["header"], item["size"], name)
        for name, item in weights.items()
        if "header" in item
    ]
    tensors = [tensor for one in parsed for tensor in one.tensors]
    scaled = {one.name.rpartition(".")[0] for one in tensors if _SCALE.search(one.name)}
    bare = [
        one.name
        for one in tensors
        if one.dtype == "I8" and one.name.endswith(".weight")
        if one.name.rpartition(".")[0] not in scaled
    ]
    if not bare:
        return []
    count = units.plural(len(bare), "tensor")
    said = f"{count} of whole numbers without a scale, such as {bare[0]}, taken as they are."
    return [{"message": said, "numbers": {"tensors": bare}}]


def _parameters(weights: Mapping[str, JSON]) -> int:
    """Elements of all tensors; of files without headers, at two bytes each."""
    count = 0
    for name, item in weights.items():
        if "header" in item:
            parsed = safetensors.parse_header(item["header"], item["size"], name)
            count += sum(tensor.n_elements for tensor in parsed.tensors)
        else:
            count += item["size"] // 2
    return count


def _from_hub(task: Task) -> tuple[dict[str, JSON], Sequence[HubFile], str, str]:
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

    source = task.step.params["source"]
    where = {"repo_type": source["repo_type"], "offline": task.offline}
    chosen = hub_selection(source, task.offline)
    weights, others = chosen.weights, chosen.others
    repo, commit, folder = source["repo"], source["commit"], folder_of(source)
    listed, small = [file.path for file in others], task.workdir / "small"
    download.small_files(repo, commit, listed, small, folder=folder, **where)
    safe = [file.path for file in weights if file.path.endswith(".safetensors")]
    headers = download.safetensors_headers(repo, commit, safe, **where) if safe else {}
    found: dict[str, JSON] = {}
    for file in weights:
        one = found[file.path.removeprefix(folder)] = {"size": file.size, "sha256": file.sha256}
        if file.path in headers:
            one["header"] = headers[file.path][0]
    return found, others, chosen.left_out, chosen.beside


def _from_elsewhere(task: Task) -> dict[str, JSON]:
    """The one file of a package or an address: how large its download is."""
    source = task.step.params["source"]
    if task.offline:
        raise EnvironmentProblem(
            f"{task.step.label}: this needs the network once", "Run without --offline."
        )
    name = str(source.get("name") or source["file"])
    size = range_requests.download_size(source, task.step.context)
    return {name: {"size": size, "sha256": source["sha256"]}}


def _from_folder(task: Task) -> tuple[dict[str, JSON], Sequence[HubFile], str, str]:
    root = Path(task.step.context["path"])
    digests: Mapping[str, str] = task.step.params["source"]["files"]
    lfs_pointer.refuse((name, root / name) for name in digests)
    files = [HubFile(n, (root / n).stat().st_size, d, None) for n, d in digests.items()]
    if task.step.params["format"] == "lora":
        chosen = select_adapter(files)
    else:
        chosen = select(
            files,
            weights="mistral" if task.step.params["format"] == "mistral" else "auto",
            trust_remote_code=True,
            read_index=lambda name: (root / name).read_bytes(),
            quantized=lambda _name: False,  # what is not to be taken is not among the files
        )
    found: dict[str, JSON] = {}
    for file in chosen.weights:
        found[file.path] = {"size": file.size, "sha256": file.sha256}
        if file.path.endswith(".safetensors"):
            read = partial(safetensors.file_range, root / file.path)
            found[file.path]["header"] = safetensors.header_bytes(read, file.path)[0]
    for file in chosen.others:
        target = task.workdir / "small" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file.path, target)
    beside = chosen.weight_format == "bin" and SAFETENSORS not in digests
    left_out = SAFETENSORS if beside and (root / SAFETENSORS).is_file() else ""
    paths = (*root.glob("*"), *root.glob("original/*"))
    there = (path.relative_to(root).as_posix() for path in paths)
    return found, chosen.others, left_out, other_layout(there, chosen.weight_format)


def _write(workdir: Path, weights: Mapping[str, JSON]) -> None:
    listed = {}
    for index, (name, item) in enumerate(sorted(weights.items())):
        entry = {"size": item["size"], "sha256": item["sha256"]}
        if "header" in item:
            entry["header"] = f"headers/{index:05}.bin"
            (workdir / entry["header"]).write_bytes(item["header"])
        listed[name] = entry
    (workdir / "weights.json").write_text(json.dumps(listed, indent=1, sort_keys=True))
