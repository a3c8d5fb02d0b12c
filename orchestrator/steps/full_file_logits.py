"""Perplexity of the full file on a text, and its logits for divergences from it."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.base.disk_space import disk_full, is_short
from orchestrator.base.errors import StepError
from orchestrator.base.file_links import borrow, only_file
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.artifact_file_names import FACTS, LOGITS
from orchestrator.toolchain.model import Verb
from orchestrator.toolchain.output_numbers import number, optional
from orchestrator.toolchain.tool_results import SavedLogits


def run(task: Task) -> dict[str, JSON]:
    """Run the verb ``logits`` on ``inputs["model"]`` and the text in ``inputs["corpus"]``.

    ``params``: ``file`` and ``corpus_file`` (names in those folders; the corpus folder may
    hold just one file), ``context`` (tokens), ``chunks`` (-1: all), ``save`` and
    ``runtime`` (more values for the argv). The artifact holds ``perplexity.json`` with the
    facts and, with ``save``, ``logits.bin``.

    Returns:
        ``perplexity``, ``perplexity_error`` (or None), ``chunks`` (or None), ``context``;
        of saved logits also ``vocabulary`` and ``bytes``.

    Raises:
        StepError: The tool failed, or the perplexity is missing or not a number.
        EnvironmentProblem: The disk is full.
    """
    params = task.step.params
    saved = task.workdir / LOGITS if params["save"] else None
    taking.borrow_model(task.inputs["model"] / params["file"], task.scratch)
    values = {
        **params.get("runtime", {}),
        "input": params["file"],
        "corpus": borrow(_corpus(task), task.scratch / "corpus.txt").name,
        "context": str(params["context"]),
        "chunks": str(params["chunks"]),
        "save": str(saved) if saved else "",
    }
    needed = task.step.resources.disk_bytes if saved else 0
    done = call_verb.call(task, "logits", values, cwd=task.scratch, needed_bytes=needed)
    chunks = optional(done.values, "chunks")
    facts: dict[str, JSON] = {
        "perplexity": number(done.values, "perplexity", task.step.label),
        "perplexity_error": optional(done.values, "perplexity_error"),
        "chunks": None if chunks is None else int(chunks),
        "context": int(params["context"]),
    }
    if saved:
        facts |= expect_whole(saved, _layout(task), task.step.label)
    text = json.dumps(facts, indent=2, sort_keys=True)
    (task.workdir / FACTS).write_text(f"{text}\n", encoding="utf-8")
    return facts


def _corpus(task: Task) -> Path:
    return only_file(task.inputs["corpus"], task.step.params.get("corpus_file") or "")


def _layout(task: Task) -> SavedLogits | None:
    return Verb.model_validate(task.step.context["verbs"]["logits"]).saved


def expect_whole(path: Path, layout: SavedLogits | None, what: str) -> dict[str, JSON]:
    """What the header of saved logits says, once the file is as long as that means.

    Today's tool does not look whether its writes succeed: on a full disk it exits 0 and
    leaves a short file. Where the data states no layout, only the size is known.

    Raises:
        StepError: The file is not whole.
        EnvironmentProblem: It is short because the disk is full.
    """
    size = path.stat().st_size if path.is_file() else 0
    if layout is None:
        return {"bytes": size}
    head = b""
    if size:
        with path.open("rb") as file:
            head = file.read(layout.header_size)
    header = layout.read_header(head)
    if header is None:
        raise StepError(f"{what}: the saved logits have no proper header")
    expected = layout.size_of(**header)
    if size != expected and is_short(path.parent, expected - size):
        raise disk_full(path.parent, expected, what)
    if size != expected:
        raise StepError(f"{what}: the saved logits have {size} bytes, not {expected}")
    return {**header, "bytes": size}
