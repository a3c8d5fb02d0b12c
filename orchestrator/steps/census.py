"""Count what becomes of every tensor of the source, before a weight is fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import chat_templates, foreign_code
from orchestrator.sources import hollow_model
from orchestrator.toolchain import call_verb

CENSUS = "census.json"

Counted = Mapping[str, Any]


def run(task: Task) -> dict[str, JSON]:
    """Run the verb ``census`` on the model with holes for weights, and write ``census.json``.

    It holds ``into`` (the file's tensors that each of the source became), ``read`` (those whose
    values the converter computes with), ``generated`` and ``dropped``; and the same three of
    each of the ``parts`` that become files of their own.

    Returns:
        Facts: ``tensors`` of the source (0 where nothing names them before they are read),
        the names of those that are ``dropped``, those of them that parts would hold which are not
        to be made (``params["unmade"]``), how many each of ``params["parts"]`` holds that the
        text model's file does not, if there are any, and the ``architectures`` that config.json
        names, if it does.

    Raises:
        StepError: The converter does not know the architecture, or the source's tensors.
    """
    params = task.step.params
    model, listed = task.scratch / "model", task.scratch / CENSUS
    hollow_model.small_files(task.inputs["model"], model)
    removed = () if params["trust_remote_code"] else foreign_code.remove(model)
    values = {**params, "input": str(model), "output": str(listed)}
    counted: dict[str, Counted] = {}
    with foreign_code.explained(removed):
        names = hollow_model.weights(task, task.inputs["model"], model)
        for part, without in {"": (), **params.get("parts", {})}.items():
            own = {name: value for name, value in values.items() if name not in without}
            call_verb.call(task, "census", {**own, part: True}, cwd=task.scratch)
            counted[part] = json.loads(listed.read_text(encoding="utf-8"))
    found, parts = counted.pop(""), counted
    used = {name: one["into"].keys() | one["read"] for name, one in parts.items()}
    left = names.difference(found["into"], found["read"])
    unmade: set[str] = set().union(*(used.pop(name) for name in params.get("unmade", ())))
    dropped = sorted(left.difference(*used.values()))
    whole = {**found, "dropped": dropped, **({"parts": parts} if parts else {})}
    text = json.dumps(whole, indent=1, sort_keys=True)
    (task.workdir / CENSUS).write_text(f"{text}\n", encoding="utf-8")
    facts: dict[str, JSON] = {"tensors": len(names), "dropped": dropped, **_named(model)}
    if used:
        facts["parts"] = {name: len(left & keys) for name, keys in used.items()}
    if "unmade" in params:
        facts["unmade"] = sorted(unmade & set(dropped))
    return facts


def _named(model: Path) -> dict[str, JSON]:
    """The architectures that a model's config.json names."""
    named = chat_templates.json_object(model / "config.json").get("architectures")
    return {"architectures": [str(one) for one in named]} if isinstance(named, list) else {}
