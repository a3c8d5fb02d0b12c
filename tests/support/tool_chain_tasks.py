"""Verbs of a few lines of Python, small GGUF files, and tasks that use them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from orchestrator.base.step_values import Progress, Task
from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_bytes
from tests.support.tasks import a_task

NORM, WEIGHT = Tensor("norm", (256,), "F32"), Tensor("weight", (256, 4), "F16")


CONVERSION = {
    "verb": "convert",
    "outtype": "f16",
    "model_name": "small",
    "tokenizer_pre": "",
    "file": "model.gguf",
}


def tool(code: str, *arguments: Any, **verb: Any) -> dict[str, Any]:
    """A verb that runs some lines of Python with ``args`` at hand."""
    text = "import sys; from pathlib import Path; args = sys.argv[1:]\n" + dedent(code)
    escaped = text.replace("{", "{{").replace("}", "}}")
    return {"argv": [sys.executable, "-I", "-c", escaped, *arguments], **verb}


def whole(folder: Path, *tensors: Tensor, **metadata: KV) -> Path:
    """A folder with a GGUF file, as a step's artifact."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = GGUFSpec(fields=metadata, tensors=tensors or (NORM, WEIGHT))
    (folder / "model.gguf").write_bytes(gguf_bytes(spec))
    return folder


def task_of(
    folder: Path,
    verbs: Mapping[str, Any],
    inputs: Mapping[str, Path],
    params: Mapping[str, Any],
    *,
    beside: Mapping[str, Any] | None = None,
    progress: list[Progress] | None = None,
) -> Task:
    return a_task(folder, params, {"verbs": verbs, **(beside or {})}, inputs, progress)
