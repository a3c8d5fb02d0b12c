"""Call a verb on the file that a step measures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.base.file_links import borrow, only_file
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.modelfiles import gguf_parts
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.model import Verb

MEASURES = "measures.json"


def call(task: Task, verb_name: str, values: Mapping[str, Any], doing: str) -> call_verb.Result:
    """Call a verb of the tool chain on the step's file, in the step's scratch folder.

    Args:
        task: The task; ``inputs["model"]/params["file"]`` is the file.
        verb_name: The verb's.
        values: What its argv needs beside ``input`` and what the recipe says of running.
        doing: What is done, for the progress.

    Raises:
        StepError, EnvironmentProblem: As :func:`orchestrator.toolchain.call_verb.call`.
    """
    name = str(task.step.params["file"])
    borrow_model(task.inputs["model"] / name, task.scratch)

    def noted(progress: Progress) -> None:
        task.report(replace(progress, note=doing))

    noted(Progress(0, 0))
    runtime: Mapping[str, Any] = task.step.params.get("runtime", {})
    return call_verb.call(
        task,
        verb_name,
        {**runtime, "input": name, **values},
        cwd=task.scratch,
        counts=_counts(task),
        report=noted,
    )


def borrow_model(path: Path, folder: Path) -> None:
    """Put a model file, and the other parts of its model if it is one of several, into a folder."""
    for part in gguf_parts.named(path):
        if part == path or part.exists():
            borrow(part, folder / part.name)


def verb(task: Task, name: str) -> Verb:
    """What the tool chain's data says of a verb that the step may call."""
    return Verb.model_validate(task.step.context["verbs"][name])


def text(task: Task) -> str:
    """The text that the recipe names, as a file's name in the scratch folder."""
    file = only_file(task.inputs["corpus"], task.step.params.get("corpus_file") or "")
    return borrow(file, task.scratch / "corpus.txt").name


def header_facts(task: Task) -> Mapping[str, JSON]:
    """What the header of the file says, if the step was given that; else nothing."""
    folder: Path | None = task.inputs.get("header")
    if folder is None:
        return {}
    found: Mapping[str, JSON] = json.loads((folder / MEASURES).read_text("utf-8"))
    return found


def _counts(task: Task) -> dict[str, int]:
    found = header_facts(task)
    return {"tensors": int(found["tensors"])} if found else {}
