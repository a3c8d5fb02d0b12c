"""Perplexity of the full file on a text, and its logits for divergences from it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from orchestrator.base.disk_space import disk_full, is_short
from orchestrator.base.errors import StepError
from orchestrator.base.file_links import borrow, only_file
from orchestrator.base.step_values import JSON, Task
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.artifact_file_names import FACTS, LOGITS
from orchestrator.toolchain.output_numbers import number, optional

_MAGIC = b"_logits_"
_HEADER = struct.Struct("<8s3i")


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
    values = {
        **params.get("runtime", {}),
        "input": borrow(task.inputs["model"] / params["file"], task.scratch / params["file"]).name,
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
        facts |= _checked(saved, task.step.label)
    text = json.dumps(facts, indent=2, sort_keys=True)
    (task.workdir / FACTS).write_text(f"{text}\n", encoding="utf-8")
    return facts


def _corpus(task: Task) -> Path:
    return only_file(task.inputs["corpus"], task.step.params.get("corpus_file") or "")


def _checked(path: Path, what: str) -> dict[str, JSON]:
    """What the header of saved logits says, once the file is as long as that means.

    llama-perplexity (perplexity.cpp of llama.cpp 0c1e570) does not look whether its writes
    succeed: on a full disk it exits 0 and leaves a short file.
    """
    size = path.stat().st_size if path.is_file() else 0
    head = b""
    if size:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or head[:8] != _MAGIC:
        raise StepError(f"{what}: the saved logits have no proper header")
    _, context, vocabulary, chunks = _HEADER.unpack(head)
    row = 2 * ((vocabulary + 1) // 2) + 4
    rows = chunks * (context - 1 - context // 2)
    expected = _HEADER.size + 4 * chunks * context + 2 * rows * row
    if size != expected and is_short(path.parent, expected - size):
        raise disk_full(path.parent, expected, what)
    if size != expected:
        raise StepError(f"{what}: the saved logits have {size} bytes, not {expected}")
    return {"chunks": chunks, "context": context, "vocabulary": vocabulary, "bytes": size}
