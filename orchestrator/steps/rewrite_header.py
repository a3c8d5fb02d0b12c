"""Change what a file's header says, and prove that its tensors stay as they are."""

from __future__ import annotations

from pathlib import Path

from orchestrator.base.errors import StepError
from orchestrator.base.file_links import only_file
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import gguf, output_checks, tensor_digest
from orchestrator.modelfiles.comparing.header_changes import changed_keys
from orchestrator.modelfiles.comparing.opened_files import open_pair
from orchestrator.toolchain import header_edits


def run(task: Task) -> dict[str, JSON]:
    """Write the file anew, as ``params`` say: ``set``, ``remove``, ``special_tokens``.

    Returns:
        Facts: ``size``; ``tensors``, the SHA-256 of all tensors, which is that of the file
        before; ``changed``, the keys that are not the same.

    Raises:
        StepError: A change is not possible, or the tool changed more than it was told.
    """
    source = only_file(task.inputs["model"])
    output = task.workdir / str(task.step.params["file"])
    header_edits.call(task, source, output)
    before, after = (_tensors(path) for path in (source, output))
    if before != after:
        raise StepError(f"{task.step.label}: the tensors are not those of the file before")
    found = {one.key: one.kind for one in changed_keys(*open_pair(source, output, "auto"))}
    if more := sorted(found.keys() - header_edits.keys(task, found)):
        raise StepError(f"{task.step.label}: the tool changed {', '.join(more)} too")
    task.computed()
    size = output.stat().st_size
    return {"size": size, "tensors": after, "changed": found, **output_checks.facts(task, output)}


def _tensors(path: Path) -> str:
    return tensor_digest.sha256(path, gguf.read(path), check_stopped)
