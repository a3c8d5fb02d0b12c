"""The step that makes one model folder out of a base and what changes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.modelfiles.merging import METHODS, lora
from orchestrator.modelfiles.merging.checkpoint import Checkpoint, open_checkpoint
from orchestrator.modelfiles.merging.merge_plan import MergePlan
from orchestrator.modelfiles.merging.side_names import as_in_recipe, of_step
from orchestrator.modelfiles.merging.streaming_merge import write_merged


def _plan(task: Task, method: str) -> MergePlan:
    base, *others = (task.inputs["base"], *(p for n, p in task.inputs.items() if n != "base"))
    if "scales" not in task.step.params:
        return METHODS[method](open_checkpoint(base), *map(open_checkpoint, others))
    scales = task.step.params["scales"]
    sides = lora.open_sides(base, others)
    plan = METHODS[method](*sides, scales=scales)
    return replace(plan, warnings=tuple(_other_bases(task, sides[1:])))


def _other_bases(task: Task, adapters: Sequence[Checkpoint]) -> Iterator[str]:
    """Which adapters say that they were made for a base that is not called like the recipe's."""
    names = {path: name for path, name in of_step(task).items() if path != task.inputs["base"]}
    base = str(task.step.context.get("base", ""))
    for one in adapters:
        made = str(one.config.get("base_model_name_or_path") or "")[:200]
        if made and PurePath(made).name != PurePath(base.partition("@")[0]).name:
            yield (
                f"{names.get(one.folder, 'an adapter')} says that it was made for {made!r}, and "
                f"is merged into {base}"
            )


def run(task: Task) -> dict[str, JSON]:
    """Merge the folder ``task.inputs["base"]`` and the other inputs into the working folder.

    ``params["method"]`` is a key of :data:`orchestrator.modelfiles.merging.METHODS`;
    ``params["scales"]`` are those of adapters. The result is a Hugging Face model folder:
    configuration, tokenizer, safetensors.

    Returns:
        ``tensors`` (count), ``bytes`` (of the tensors), ``new_rows``, ``warnings``; ``notes`` for
        the report.

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
        plan = _plan(task, method)
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
        **({"notes": list(plan.warnings)} if method == "lora" and plan.warnings else {}),
    }
