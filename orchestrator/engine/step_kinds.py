"""The one table of the kinds of work, and what each ``--keep`` policy gives back."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.base.step_values import JSON, Task


@dataclass(frozen=True)
class Kind:
    """One kind of work.

    Attributes:
        module: Its module in steps/, imported when it is first needed.
        version: Raised when its code changes what it writes for the same parameters.
        hashed: False for thousands of small files: sizes say enough, and hashing them would
            take longer than using them.
    """

    module: str
    version: int = 1
    hashed: bool = True

    def run(self, task: Task) -> dict[str, JSON]:
        """Do the work; returns the facts about its result."""
        work: Callable[[Task], dict[str, JSON]]
        work = importlib.import_module(f"orchestrator.steps.{self.module}").run
        return work(task)


KINDS: Mapping[str, Kind] = {
    "build": Kind("build"),
    "environment": Kind("environment", hashed=False),
    "outline": Kind("describe_model"),
    "peek": Kind("read_gguf_header"),
    "header": Kind("convert_without_weights"),
    "forecast": Kind("predict_sizes", version=2),
    "explain": Kind("explain_types"),
    "fetch": Kind("fetch"),
    "merge": Kind("merge"),
    "convert": Kind("convert"),
    "imatrix": Kind("imatrix"),
    "quantize": Kind("quantize"),
    "split": Kind("split"),
    "logits": Kind("full_file_logits"),
    "measure": Kind("measure"),
}
