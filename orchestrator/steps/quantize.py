"""Quantize one file, and refuse what the quantizer does silently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import gguf_parts, header_facts
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
    from orchestrator.modelfiles import tensor_values  # noqa: PLC0415 - numpy is heavy

    params, context = task.step.params, task.step.context
    source = min(path for path in task.inputs["model"].rglob("*") if path.is_file())
    given = _given(source, task.scratch)
    counts = {"tensors": len(_tensors(source, context))}
    values: dict[str, Any] = {name: params[name] for name in _OPTIONS if name in params}
    values |= params.get("options", {})
    values |= {"input": given, "output": params["file"], "type": params["type"]}
    if "imatrix" in task.inputs:
        (task.scratch / IMATRIX_FILE).symlink_to(task.inputs["imatrix"] / IMATRIX_FILE)
        values["imatrix"] = IMATRIX_FILE
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
    said, found = done.lists.get("fallbacks", []), _outside_mix(output, context)
    fallbacks = _fallbacks(said, found, str(params["type"]))
    refuse_fallbacks(task.step.label, fallbacks, bool(context["allow_fallback"]))
    sound = tensor_values.expect_sound_output(task, output)
    output.rename(task.workdir / params["file"])
    made = _header(task.workdir / params["file"], context)
    notes = {"notes": list(done.notes)} if done.notes else {}
    return {
        "size": made.size,
        "bits_per_weight": made.bits_per_weight,
        "fallbacks": fallbacks,
        **sound,
        **notes,
    }


def _given(source: Path, folder: Path) -> str:
    """The bare name under which the tool finds the file, and beside it its other parts."""
    parts = gguf_parts.named(source)
    names = gguf_parts.names("input" if len(parts) == 1 else f"input-00001-of-{len(parts):05}.gguf")
    for name, part in zip(names, parts, strict=True):
        (folder / name).symlink_to(part)
    return names[0]


def _tensors(path: Path, context: Mapping[str, JSON]) -> tuple[TensorInfo, ...]:
    return _header(path, context).tensors


def _header(path: Path, context: Mapping[str, JSON]) -> header_facts.Header:
    form, layout = str(context.get("format") or "gguf"), str(context.get("layout") or "")
    return header_facts.header(path, form, layout)


def _outside_mix(output: Path, context: Mapping[str, JSON]) -> list[dict[str, str]]:
    """Fallbacks of tools that do not speak of them: tensors of a foreign quantized type."""
    mix = set(context.get("mix") or ())
    if not mix or context.get("format") != "ggml":
        return []
    wanted = "/".join(sorted(mix))
    return [
        {"tensor": one.name, "columns": str(one.shape[0]), "got": one.type, "wanted": wanted}
        for one in _tensors(output, context)
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
