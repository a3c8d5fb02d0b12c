"""The changes of a header that a step has among its parameters, for upstream's tool."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestrator.base.errors import ExplainedFailure
from orchestrator.base.file_links import only_file
from orchestrator.base.step_values import Task
from orchestrator.toolchain import call_verb

_TEMPLATE = "tokenizer.chat_template"
_CHANGES = "changes.json"


def call(task: Task, source: Path, output: Path | None = None) -> None:
    """Write ``source`` as ``output``, or without one see whether that is possible.

    Raises:
        StepError: It is not, or the tool failed.
    """
    given: dict[str, Any] = {
        name: task.step.params[name] for name in ("set", "remove", "special_tokens")
    }
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


def keys(task: Task, found: Iterable[str]) -> set[str]:
    """Those of the changed keys that were to be changed; a template takes the place of all."""
    params = task.step.params
    tokens = {f"tokenizer.ggml.{name}_token_id" for name in params["special_tokens"]}
    templates = {one for one in found if one.startswith(_TEMPLATE) and "template" in task.inputs}
    return {*params["set"], *params["remove"], *tokens, *templates}
