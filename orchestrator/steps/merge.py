"""The step that makes one model folder out of a base and what changes it."""

from __future__ import annotations

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.modelfiles.merging import METHODS
from orchestrator.modelfiles.merging.checkpoint import open_checkpoint
from orchestrator.modelfiles.merging.side_names import as_in_recipe, of_step
from orchestrator.modelfiles.merging.streaming_merge import write_merged


def run(task: Task) -> dict[str, JSON]:
    """Merge the folders ``task.inputs["base"]`` and ``["delta"]`` into the working folder.

    ``params["method"]`` is a key of :data:`orchestrator.modelfiles.merging.METHODS`. The result
    is a Hugging Face model folder: configuration, tokenizer, float16 safetensors.

    Returns:
        ``tensors`` (count), ``bytes`` (of the tensors), ``new_rows``, ``warnings``.

    Raises:
        StepError: the inputs do not fit each other, or the result is not finite.
        UsageError: an unknown method.
        EnvironmentProblem: the disk is full.
    """
    method = str(task.step.params.get("method"))
    if method not in METHODS:
        raise UsageError(
            f"{method!r} is not a way of merging.", f"Known ways: {', '.join(sorted(METHODS))}."
        )
    with as_in_recipe(of_step(task)):
        base, delta = open_checkpoint(task.inputs["base"]), open_checkpoint(task.inputs["delta"])
        plan = METHODS[method](base, delta)
        written = write_merged(
            plan,
            task.workdir,
            task.threads,
            lambda done, total: task.report(Progress(done, total, "B")),
        )
    return {
        "tensors": len(plan.tensors),
        "bytes": written,
        "new_rows": plan.new_rows,
        "warnings": list(plan.warnings),
    }
