"""Quantize one file, and refuse what the quantizer does silently."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from orchestrator.base.errors import ExplainedFailure, StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import gguf, gguf_parts, header_facts, importance_matrix, output_checks
from orchestrator.modelfiles.gguf import TensorInfo
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.artifact_file_names import IMATRIX_FILE
from orchestrator.toolchain.quantizer_facts import refuse_fallbacks

_OPTIONS = (
    "pure",
    "leave_output_tensor",
    "output_tensor_type",
    "token_embedding_type",
    "tensor_types",
    "override_kv",
    "allow_requantize",
)
# Relative paths that lead nowhere but below the working folder, and hide nothing there.
_PLAIN = re.compile(r"(\./)?\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)
_FILE_KEY, _TEXT = "quantize.imatrix.file", 8  # the number of GGUF's type of texts


def run(task: Task) -> dict[str, JSON]:
    """Write the quantized file.

    The tool runs in the staging folder on bare file names, since it writes the path of the
    importance matrix into the file.

    Returns:
        Facts: ``size``, ``fallbacks`` (tensors that got another type than the type's own)
        and ``bits_per_weight``; ``notes`` if the quantizer said something odd.

    Raises:
        StepError: Tensors fell back to other types and the recipe does not accept that,
            or the tool failed, or its file is not what its output says, or its values are
            damaged.
    """
    params, context = task.step.params, task.step.context
    source = min(path for path in task.inputs["model"].rglob("*") if path.is_file())
    given, tensors = _given(source, task.scratch), _header(source, context).tensors
    counts = {"tensors": len(tensors)}
    values: dict[str, Any] = {name: params[name] for name in _OPTIONS if name in params}
    values |= params.get("options", {})
    values |= {"input": given, "output": params["file"], "type": params["type"]}
    values["imatrix"], said = _matrix(task, tensors) if "imatrix" in task.inputs else ("", [])
    output_checks.make_ready()
    done = call_verb.call(
        task,
        "quantize",
        values,
        cwd=task.scratch,
        counts=counts,
        needed_bytes=task.step.resources.disk_bytes,
    )
    output = task.scratch / params["file"]
    if not output.is_file():
        raise StepError(f"{task.step.label}: the quantizer exited 0 but wrote no file")
    _record(output, values["imatrix"], params.get("imatrix_name", ""))
    made = _header(output, context)
    stated = _as_stated(made, params)
    listed = [one for one in done.lists.get("fallbacks", []) if one["tensor"] not in stated]
    fallbacks = _fallbacks(listed, _outside_mix(made, context), str(params["type"]))
    refuse_fallbacks(task.step.label, fallbacks, bool(context["allow_fallback"]))
    task.computed()
    found = output_checks.facts(task, output)
    output.rename(task.workdir / params["file"])
    said += done.notes
    notes = {"notes": said} if said else {}
    return {
        "size": made.size,
        "bits_per_weight": made.bits_per_weight,
        "fallbacks": fallbacks,
        **found,
        **notes,
    }


def _given(source: Path, folder: Path) -> str:
    """The bare name under which the tool finds the file, and beside it its other parts."""
    parts = gguf_parts.named(source)
    names = gguf_parts.names("input" if len(parts) == 1 else f"input-00001-of-{len(parts):05}.gguf")
    for name, part in zip(names, parts, strict=True):
        (folder / name).symlink_to(part)
    return names[0]


def _matrix(task: Task, tensors: Sequence[TensorInfo]) -> tuple[str, list[JSON]]:
    """Put the importance matrix where the tool finds it: under which name, and what to say of it.

    Raises:
        StepError: The matrix does not fit the model, or the tool does not read its format.
    """
    notes: list[JSON] = []
    path, formats = task.inputs["imatrix"] / IMATRIX_FILE, task.step.context["imatrix_formats"]
    if formats:
        path, found = importance_matrix.of_task(task, tensors)
        notes = importance_matrix.notes(found, tensors)
        if found.form not in formats:
            raise ExplainedFailure(
                f"{task.step.label}: {path.name} is a matrix in the format {found.form}, "
                f"the quantizer of this commit reads only {' and '.join(formats)}",
                "Write it anew: 'llama-imatrix --in-file MATRIX -o NEW --output-format dat' of "
                "a commit from August 2025 on.",
            )
    name = task.step.params.get("imatrix_name", IMATRIX_FILE)
    first = task.scratch / PurePath(name).parts[0]
    if not _PLAIN.fullmatch(name) or first.is_symlink() or first.name == task.step.params["file"]:
        name = "_" * len(name.encode())
    (task.scratch / name).parent.mkdir(parents=True, exist_ok=True)
    (task.scratch / name).symlink_to(path)
    return str(name), notes


def _record(output: Path, used: str, wanted: str) -> None:
    """Write a path that cannot be one in the working folder in place of that which was used.

    Both are of one length, so that the file is the one that the tool writes where the path
    exists. Before April 2024 the tool wrote none.
    """
    if not used or not wanted or used == wanted:
        return
    with output.open("r+b") as file:
        header = file.read(gguf.read(output).data_offset)
        at = header.find(_text_field(_FILE_KEY, used))
        if at >= 0:
            file.seek(at)
            file.write(_text_field(_FILE_KEY, wanted))


def _text_field(key: str, value: str) -> bytes:
    """A text of a GGUF header with its key."""
    name, text = key.encode(), value.encode()
    return struct.pack(f"<Q{len(name)}sIQ", len(name), name, _TEXT, len(text)) + text


def _header(path: Path, context: Mapping[str, JSON]) -> header_facts.Header:
    form, layout = str(context.get("format") or "gguf"), str(context.get("layout") or "")
    return header_facts.header(path, form, layout)


def _as_stated(made: header_facts.Header, params: Mapping[str, JSON]) -> set[str]:
    """Tensors that have the type that the recipe states for them.

    Until 2026 the quantizer spoke of a fallback before it took the stated type.
    """
    stated = {
        "token_embd.weight": str(params.get("token_embedding_type") or ""),
        "output.weight": str(params.get("output_tensor_type") or ""),
    }
    return {
        one.name
        for one in made.tensors
        if one.type.casefold() == stated.get(one.name, "").casefold()
    }


def _outside_mix(made: header_facts.Header, context: Mapping[str, JSON]) -> list[dict[str, str]]:
    """Fallbacks of tools that do not speak of them: tensors of a foreign quantized type."""
    mix = set(context.get("mix") or ())
    if not mix or context.get("format") != "ggml":
        return []
    wanted = "/".join(sorted(mix))
    return [
        {"tensor": one.name, "columns": str(one.shape[0]), "got": one.type, "wanted": wanted}
        for one in made.tensors
        if one.type not in mix and one.type not in ("F32", "F16") and len(one.shape) > 1
    ]


def _fallbacks(
    said: Sequence[Mapping[str, str]], found: Sequence[Mapping[str, str]], kind: str
) -> list[dict[str, str]]:
    """Every tensor once: what the tool said of it, and what its type in the file tells."""
    merged: dict[str, dict[str, str]] = {}
    for one in (*found, *said):
        merged.setdefault(one["tensor"], {"wanted": kind}).update(one)
    return list(merged.values())
