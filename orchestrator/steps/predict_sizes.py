"""Foretell every output's exact size and its fallbacks, from a header alone.

The pinned quantizer is run dry on a file that is a header and a hole: it decides about each
tensor's type as it will in earnest, and from the types follow the bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.base import units
from orchestrator.base.errors import ExplainedFailure, StepError
from orchestrator.base.file_links import place
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.modelfiles import gguf, importance_matrix
from orchestrator.modelfiles.ggml_types import tensor_bytes, type_by_name
from orchestrator.modelfiles.importance_matrix import Matrix
from orchestrator.sources import hollow_model
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.artifact_file_names import HEADER, IMATRIX_FILE
from orchestrator.toolchain.quantizer_facts import override_values, write_stand_in

FORECAST = "forecast.json"


def run(task: Task) -> dict[str, JSON]:
    """Write ``forecast.json`` and give the same as facts.

    Returns:
        Facts: ``full`` (size, bits per weight, parameters, largest tensor) and ``outputs``
        by name (size, bits per weight, census, fallbacks, whether an imatrix is needed, and
        of one that others made the tensors that it lacks).

    Raises:
        StepError: The quantizer cannot make one of the outputs at all, or the importance
            matrix is of another model.
    """
    source = _source(task)
    whole = gguf.read(source)
    given = _matrix(task, whole)
    specs, full = task.step.params["outputs"], task.step.params["full"]
    first = [{"name": "full", "type": full, "imatrix": False}] if full else []
    found = _dry_runs(task, source, whole, [*first, *specs])
    full_types = found.pop(0)["types"] if full else {}
    outputs = {
        spec["name"]: _described(dry, whole, spec, given)
        for spec, dry in zip(specs, found, strict=True)
    }
    facts = {"full": _full(whole, full_types), "outputs": outputs}
    (task.workdir / FORECAST).write_text(json.dumps(facts, indent=1, sort_keys=True))
    return facts


def _source(task: Task) -> Path:
    """A file that the quantizer takes for the whole model: bare name, full length."""
    return hollow_model.gguf_of_header(task.inputs["header"] / HEADER, task.scratch / HEADER)


def _dry_runs(
    task: Task, source: Path, whole: gguf.GGUF, specs: Sequence[Mapping[str, JSON]]
) -> list[dict[str, Any]]:
    """What the quantizer says of each; several at once, in folders of their own."""
    own = [_apart(task, source, number) for number in range(len(specs))]
    found = []
    with ThreadPoolExecutor(task.threads) as pool:
        try:
            for dry in pool.map(partial(_dry_run, source=source, whole=whole), own, specs):
                found.append(dry)
                task.report(Progress(len(found), len(specs), "types"))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    task.calls.extend(call for one in own for call in one.calls)
    return found


def _apart(task: Task, source: Path, number: int) -> Task:
    """The task with a folder of its own, which holds what the quantizer reads."""
    folder = task.scratch / str(number)
    folder.mkdir()
    for path in (source, task.scratch / IMATRIX_FILE):
        place(path.resolve(), folder / path.name)
    return replace(task, scratch=folder, calls=[])


def _dry_run(
    task: Task, spec: Mapping[str, JSON], *, source: Path, whole: gguf.GGUF
) -> dict[str, Any]:
    values = {
        **{name: value for name, value in spec.items() if name != "imatrix"},
        **spec.get("options", {}),
        **_requantize(task),
        "dry_run": True,
        "input": source.name,
        "output": "",
        "override_kv": spec.get("override_kv", {}),
        "imatrix": IMATRIX_FILE if spec["imatrix"] else "",
    }
    done = call_verb.call(
        task, "plan_quantize", values, cwd=task.scratch, what=f"predict sizes of {spec['name']}"
    )
    types = {one["tensor"]: (one["to"] or one["from"]).upper() for one in done.lists["tensors"]}
    if types.keys() != {tensor.name for tensor in whole.tensors}:
        listed = units.plural(len(types), "tensor")
        raise StepError(
            f"predict sizes of {spec['name']}: the quantizer listed {listed}, "
            f"the model has {len(whole.tensors)}"
        )
    _refuse_twice(task, spec, done.lists["tensors"])
    return {
        "types": types,
        "changed": [one["tensor"] for one in done.lists["tensors"] if one["to"]],
        "fallbacks": done.lists["fallbacks"],
        "needs_imatrix": bool(done.lists["needs_imatrix"]),
    }


def _refuse_twice(
    task: Task, spec: Mapping[str, JSON], listed: Sequence[Mapping[str, str]]
) -> None:
    """Refuse to quantize again what the converter keeps quantized; run dry, the tool accepts it."""
    before = {one["from"].upper() for one in listed if one["to"]}
    packed = sorted(name for name in before if type_by_name(name).block > 1)
    if packed and not {**spec, **_requantize(task)}.get("allow_requantize"):
        raise ExplainedFailure(
            f"{spec['name']} would quantize again what the converted file keeps as "
            f"{' and '.join(packed)}",
            "If that loss is intended, say 'allow_requantize: true' on the type.",
        )


def _matrix(task: Task, whole: gguf.GGUF) -> Matrix | None:
    """Put the matrix that others made, or a stand-in, where a dry run finds it.

    That there is a matrix decides about types, but not what is in it.
    """
    target = task.scratch / IMATRIX_FILE
    if "imatrix" not in task.inputs:
        # By its names, since options may leave out those of some tensors.
        write_stand_in(target, [one.name for one in whole.tensors])
        return None
    path, found = importance_matrix.of_task(task, whole.tensors)
    target.symlink_to(path)
    return found


def _requantize(task: Task) -> dict[str, bool]:
    return {"allow_requantize": True} if task.step.context["requantize"] else {}


def _extra(spec: Mapping[str, JSON], given: Matrix | None) -> dict[str, Any]:
    """Metadata that the output has and the input has not; only lengths matter here."""
    extra: dict[str, Any] = override_values(spec.get("override_kv", {}))
    name = spec.get("imatrix_name", IMATRIX_FILE)
    if spec["imatrix"] and given is not None:
        extra |= given.header(name)
    elif spec["imatrix"]:
        extra |= {
            "quantize.imatrix.file": name,
            "quantize.imatrix.dataset": spec.get("dataset", ""),
            "quantize.imatrix.entries_count": 0,
            "quantize.imatrix.chunks_count": 0,
        }
    return extra


def _described(
    dry: Mapping[str, Any], whole: gguf.GGUF, spec: Mapping[str, JSON], given: Matrix | None
) -> dict[str, JSON]:
    types = dry["types"]
    data = sum(tensor_bytes(types[one.name], one.shape) for one in whole.tensors)
    return {
        "size": gguf.predicted_size(whole, types, extra_kv=_extra(spec, given)),
        "bits_per_weight": 8 * data / whole.n_elements,
        "census": dict(sorted(Counter(types.values()).items())),
        "fallbacks": dry["fallbacks"],
        "needs_imatrix": dry["needs_imatrix"],
        **({"unweighed": given.lacking(dry["changed"])} if given and spec["imatrix"] else {}),
    }


def _full(whole: gguf.GGUF, types: Mapping[str, str]) -> dict[str, JSON]:
    sizes = {
        one.name: tensor_bytes(types.get(one.name, one.type), one.shape) for one in whole.tensors
    }
    tokens = whole.metadata.get("tokenizer.ggml.tokens")
    return {
        "size": gguf.predicted_size(whole, types) if types else whole.file_size,
        "bits_per_weight": 8 * sum(sizes.values()) / whole.n_elements,
        "parameters": whole.n_elements,
        "largest_tensor": max(one.n_elements for one in whole.tensors),
        "vocabulary": tokens.count if isinstance(tokens, gguf.ArrayInfo) else 0,
    }
