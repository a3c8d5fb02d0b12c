"""Change what a file's header says, and prove that its tensors stay as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestrator.base.errors import ExplainedFailure, StepError
from orchestrator.base.file_links import only_file
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import gguf, output_checks, tensor_digest
from orchestrator.modelfiles.comparing.header_changes import changed_keys
from orchestrator.modelfiles.comparing.opened_files import open_pair
from orchestrator.sources import hollow_model
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.artifact_file_names import HEADER

_TEMPLATE, _CHANGES = "tokenizer.chat_template", "changes.json"


def run(task: Task) -> dict[str, JSON]:
    """Write the file anew, as ``params`` say: ``set``, ``remove``, ``special_tokens``.

    With a ``header`` among the inputs, which is known before weights are, nothing is written and
    no fact found.

    Returns:
        Facts: ``size``; ``tensors``, the SHA-256 of all tensors, which is that of the file
        before; ``changed``, the keys that are not the same.

    Raises:
        StepError: A change is not possible, or the tool changed more than it was told.
    """
    if "header" in task.inputs:
        header = task.inputs["header"] / HEADER
        _call(task, hollow_model.gguf_of_header(header, task.scratch / HEADER))
        return {}
    source = only_file(task.inputs["model"])
    output = task.workdir / str(task.step.params["file"])
    _call(task, source, output)
    before, after = (_tensors(path) for path in (source, output))
    if before != after:
        raise StepError(f"{task.step.label}: the tensors are not those of the file before")
    found = {one.key: one.kind for one in changed_keys(*open_pair(source, output))}
    if more := sorted(found.keys() - _keys(task, found)):
        raise StepError(f"{task.step.label}: the tool changed {', '.join(more)} too")
    task.computed()
    size = output.stat().st_size
    return {"size": size, "tensors": after, "changed": found, **output_checks.facts(task, output)}


def _call(task: Task, source: Path, output: Path | None = None) -> None:
    params = task.step.params
    given: dict[str, Any] = {name: params[name] for name in ("set", "remove", "special_tokens")}
    given["template"] = _template(task)
    (task.scratch / _CHANGES).write_text(json.dumps(given), encoding="utf-8")
    values = {"changes": _CHANGES, "input": str(source), "output": str(output or "")}
    needed = task.step.resources.disk_bytes
    call_verb.call(task, "rewrite_header", values, cwd=task.scratch, needed_bytes=needed)


def _template(task: Task) -> str | None:
    if "template" not in task.inputs:
        return None
    file = only_file(task.inputs["template"])
    try:
        found = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ExplainedFailure(f"{file.name} is not UTF-8", "Name a chat template.") from error
    if not found.strip():
        raise ExplainedFailure(f"{file.name} is empty", "Name a chat template.")
    return found


def _keys(task: Task, found: Iterable[str]) -> set[str]:
    """Those of the changed keys that were to be changed; a template takes the place of all."""
    params = task.step.params
    tokens = {f"tokenizer.ggml.{name}_token_id" for name in params["special_tokens"]}
    templates = {one for one in found if one.startswith(_TEMPLATE) and "template" in task.inputs}
    return {*params["set"], *params["remove"], *tokens, *templates}


def _tensors(path: Path) -> str:
    return tensor_digest.sha256(path, gguf.read(path), check_stopped)
