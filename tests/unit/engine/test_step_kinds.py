"""A new kind of work is a module, an entry of the table and the line that plans it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import steps as rooms
from orchestrator.base.step_values import Resources, Step
from orchestrator.engine import step_kinds
from orchestrator.engine.step_budgets import Sizes
from orchestrator.engine.step_kinds import KINDS, Brings, Kind, Role
from orchestrator.planning import resource_needs
from orchestrator.planning.plan import MODEL, Plan
from orchestrator.planning.resource_needs import Forecast
from orchestrator.planning.step_collector import StepCollector
from orchestrator.runs import provenance_statement
from orchestrator.runs.provenance_statement import Pins
from tests.support.plans import make_plan
from tests.support.scheduler_runs import run, stored

POLISH = """\
def run(task):
    (task.workdir / "model.gguf").write_text(task.step.params["text"])
    return {"polished": True}
"""


def budget(step: Step, sizes: Sizes) -> Resources:
    return replace(step.resources, disk_bytes=2 * sizes.read)


@pytest.fixture
def polish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module and the entry."""
    folder = tmp_path / "more steps"
    folder.mkdir()
    (folder / "polish_file.py").write_text(POLISH)
    monkeypatch.setattr(rooms, "__path__", [*rooms.__path__, str(folder)])
    monkeypatch.setitem(KINDS, "polish", Kind("polish_file", Role.OUTPUT, budget=budget))


def with_polish(plan: Plan) -> Plan:
    """The line that plans it: each output's file is polished."""
    collector = StepCollector()
    output = plan.outputs[0]
    key = collector.add("polish", "polish it", {"text": "shiny"}, {MODEL: output.step})
    steps = (*plan.steps, *collector.steps)
    return replace(plan, steps=steps, outputs=(output, replace(output, name="S", step=key)))


@pytest.mark.usefixtures("polish")
def test_a_new_kind_is_planned_with_its_budget_and_stated_in_provenance(tmp_path: Path) -> None:
    plan = with_polish(make_plan(tmp_path))
    forecast = Forecast({"size": 700}, {plan.outputs[0].name: {"size": 300}})

    planned = resource_needs.with_sizes(plan, forecast)
    key = planned.outputs[-1].step
    assert planned.step(key).resources == Resources(disk_bytes=600, exact=True)

    made: dict[str, Any] = {key: {"files": {"model.gguf": {"size": 5, "sha256": "d" * 64}}}}
    told = provenance_statement.statement(planned, planned.outputs[-1], "d" * 64, made, Pins())
    definition = told["predicate"]["buildDefinition"]
    [*_, last] = definition["internalParameters"]["steps"]
    assert (last["kind"], last["outputs"]) == ("polish", {"model.gguf": "d" * 64})
    named = [one["annotations"].get("step") for one in definition["resolvedDependencies"]]
    assert key not in named


@pytest.mark.usefixtures("polish")
def test_a_new_kind_runs_by_its_module(tmp_path: Path) -> None:
    step = Step("polish", "polish it", "e" * 64, {"text": "shiny"})

    ran = run(tmp_path / "store", [step])

    assert ran.of("polish it").facts["polished"] is True
    assert stored(tmp_path / "store", step) == ["polish it"]


@pytest.mark.usefixtures("polish")
def test_what_a_new_kind_brings_is_a_dependency_and_no_work_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Kind("polish_file", Role.SOURCE, brings=Brings.FILES)
    monkeypatch.setitem(KINDS, "polish", entry)
    plan = make_plan(tmp_path)
    collector = StepCollector()
    key = collector.add("polish", "polish it", {"source": {"kind": "url", "name": "a"}})
    build = step_kinds.bringing(plan.steps, Brings.UPSTREAM)
    assert build is not None
    last = collector.add("split", "split it", {}, {"paint": key, "toolchain": build.key})
    plan = replace(
        plan,
        steps=(*plan.steps, *collector.steps),
        outputs=(replace(plan.outputs[0], step=last),),
    )

    made: dict[str, Any] = {key: {"files": {"a": {"size": 5, "sha256": "d" * 64}}}}
    told = provenance_statement.statement(plan, plan.outputs[0], "f" * 64, made, Pins())

    definition = told["predicate"]["buildDefinition"]
    [painted] = [
        one for one in definition["resolvedDependencies"] if one["annotations"].get("step") == key
    ]
    assert painted["annotations"]["part"] == "paint"
    assert [one["kind"] for one in definition["internalParameters"]["steps"]] == ["split"]


def test_manifests_of_kinds_that_are_gone_are_of_no_tool() -> None:
    assert step_kinds.made_a_tool({"kind": "environment"})
    assert not step_kinds.made_a_tool({"kind": "quantize"})
    assert not step_kinds.made_a_tool({"kind": "of an older version"})
