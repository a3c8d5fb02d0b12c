"""Try changes of a header on one that is known before weights are fetched."""

from __future__ import annotations

from orchestrator.base.step_values import JSON, Task
from orchestrator.sources import hollow_model
from orchestrator.toolchain import header_edits
from orchestrator.toolchain.artifact_file_names import HEADER


def run(task: Task) -> dict[str, JSON]:
    """Write nothing.

    Raises:
        StepError: A change is not possible.
    """
    source = hollow_model.gguf_of_header(task.inputs["header"] / HEADER, task.scratch / HEADER)
    header_edits.call(task, source)
    return {}
