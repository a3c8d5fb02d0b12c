"""The step that makes one model folder out of several models, by mergekit."""

from __future__ import annotations

import json

from orchestrator.base.step_values import JSON, Task
from orchestrator.toolchain import call_verb

_OTHER = "merge "  # before the names of the models beside the base


def run(task: Task) -> dict[str, JSON]:
    """Run the verb ``mergekit`` on ``params["config"]``; its models are the step's inputs.

    They lie beside the configuration under the names that it has for them, so that no path of
    this machine comes into the result.

    Returns:
        Facts: ``bytes`` of the result.

    Raises:
        StepError: mergekit failed.
    """
    for name, folder in task.inputs.items():
        if name == "base" or name.startswith(_OTHER):
            (task.scratch / name.removeprefix(_OTHER)).symlink_to(folder)
    # JSON is YAML.
    config = task.scratch / ".mergekit.yaml"
    config.write_text(json.dumps(task.step.params["config"], indent=1), encoding="utf-8")
    values = {"input": config.name, "output": str(task.workdir)}
    call_verb.call(
        task,
        "mergekit",
        values,
        cwd=task.scratch,
        needed_bytes=task.step.resources.disk_bytes,
    )
    return {"bytes": sum(path.stat().st_size for path in task.workdir.rglob("*.safetensors"))}
