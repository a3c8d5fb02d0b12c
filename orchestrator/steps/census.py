"""Count what becomes of every tensor of the source, before a weight is fetched."""

from __future__ import annotations

import json

from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import foreign_code
from orchestrator.sources import hollow_model
from orchestrator.toolchain import call_verb

CENSUS = "census.json"


def run(task: Task) -> dict[str, JSON]:
    """Run the verb ``census`` on the model with holes for weights, and write ``census.json``.

    It holds ``into`` (the file's tensors that each of the source became), ``read`` (those whose
    values the converter computes with), ``generated`` and ``dropped``.

    Returns:
        Facts: ``tensors`` of the source (0 where nothing names them before they are read),
        and the names of those that are ``dropped``.

    Raises:
        StepError: The converter does not know the architecture, or the source's tensors.
    """
    params = task.step.params
    model, listed = task.scratch / "model", task.scratch / CENSUS
    hollow_model.small_files(task.inputs["model"], model)
    removed = () if params["trust_remote_code"] else foreign_code.remove(model)
    values = {**params, "input": str(model), "output": str(listed)}
    with foreign_code.explained(removed):
        names = hollow_model.weights(task, task.inputs["model"], model)
        call_verb.call(task, "census", values, cwd=task.scratch)
    found = json.loads(listed.read_text(encoding="utf-8"))
    dropped = sorted(names - found["into"].keys() - set(found["read"]))
    text = json.dumps({**found, "dropped": dropped}, indent=1, sort_keys=True)
    (task.workdir / CENSUS).write_text(f"{text}\n", encoding="utf-8")
    return {"tensors": len(names), "dropped": dropped}
