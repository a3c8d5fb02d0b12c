"""All kinds of work but fetching and describing, faked in a few lines each: for the paths
from the command line to the exit code. What the real ones do is tested in tests/native."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.step_values import JSON, Task
from tests.support.gguf_headers import llama_header
from tests.support.measures import MEASURES
from tests.support.scheduler_runs import Work, teach

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "tiny" / "llama.yaml"

GOOD: dict[str, Any] = {
    **copy.deepcopy(MEASURES),
    "smoke": {**MEASURES["smoke"], "text": "Once upon a time there was a boy named Tom"},
    "smoke_python": {"text": "a girl named Ann"},
    "perplexity": {**MEASURES["perplexity"], "value": 5.0},
    "kld": {
        **MEASURES["kld"],
        "mean": 0.001,
        "same_top": 0.97,
        "perplexity": {**MEASURES["perplexity"], "value": 5.01},
    },
}


def built(task: Task) -> dict[str, JSON]:
    return {"origin": "here", "commit": "a" * 40, "options": ["-DX"]}


def environment(task: Task) -> dict[str, JSON]:
    return {"packages": ["six==1.16.0"]}


def header(task: Task) -> dict[str, JSON]:
    llama_header(task.workdir)
    return {"size": 4_000_000, "parameters": 2_000_000, "vocabulary": 512}


def census(task: Task) -> dict[str, JSON]:
    return {"tensors": 21, "dropped": []}


def forecast(task: Task) -> dict[str, JSON]:
    full = {"size": 4_000_000, "bits_per_weight": 16.0, "largest_tensor": 1000, "vocabulary": 512}
    told = {"size": 1_200_000, "bits_per_weight": 4.84, "fallbacks": [], "needs_imatrix": False}
    return {"full": full, "outputs": {one["name"]: told for one in task.step.params["outputs"]}}


def written(task: Task) -> dict[str, JSON]:
    """A file that says which step made it."""
    (task.workdir / task.step.params["file"]).write_text(task.step.label)
    return {"size": 1, "bits_per_weight": 4.84, "fallbacks": []}


def imatrix(task: Task) -> dict[str, JSON]:
    (task.workdir / "imatrix.gguf").write_text("matrix")
    return {"perplexity": 5.0, "chunks": 20, "dataset": "calibration.txt"}


def logits(task: Task) -> dict[str, JSON]:
    (task.workdir / "perplexity.json").write_text(json.dumps({"perplexity": 5.0}))
    return {"perplexity": 5.0, "bytes": 100}


def measured(task: Task) -> dict[str, JSON]:
    found: dict[str, JSON] = copy.deepcopy(GOOD[task.step.params["measure"]])
    return found


def measured_but(name: str, **changes: JSON) -> Work:
    """Measuring that finds something else in one measure."""

    def work(task: Task) -> dict[str, JSON]:
        own = task.step.params["measure"] == name
        return {**measured(task), **changes} if own else measured(task)

    return work


def looked(_task: Task) -> dict[str, JSON]:
    """A commit that is as the pinned one."""
    return {"variants": [], "types": [], "origin": "a test"}


def fake_kinds(monkeypatch: pytest.MonkeyPatch, **others: Work) -> None:
    """Put the fakes into the table of kinds; ``others`` win."""
    works: dict[str, Work] = {
        "look": looked,
        "build": built,
        "environment": environment,
        "header": header,
        "census": census,
        "forecast": forecast,
        "convert": written,
        "imatrix": imatrix,
        "quantize": written,
        "logits": logits,
        "measure": measured,
    }
    teach(monkeypatch, **{**works, **others})


def fails_for(name: str, error: Exception) -> Callable[[Task], dict[str, JSON]]:
    """Quantizing that fails for the Q4_0 of one recipe and works for all else."""

    def work(task: Task) -> dict[str, JSON]:
        if f"quantize {name} to Q4_0" in task.step.label:
            raise error
        return written(task)

    return work
