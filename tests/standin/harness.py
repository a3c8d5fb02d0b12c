"""Run a recipe through the real planner, runner and store, with any tool chain's data."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator import plan, workflow
from orchestrator.console import Plain
from orchestrator.recipe import Vocabulary, load_many
from orchestrator.records import JSON, Outcome, StepResult
from orchestrator.runner import Settings
from orchestrator.store import Store
from orchestrator.toolchain import ToolChain


@dataclass(frozen=True)
class Ran:
    """What a run left: the plan, a result for every step that ran, and the store."""

    plan: plan.Plan
    results: tuple[StepResult, ...]
    store: Store

    def of(self, label: str) -> StepResult:
        """The result of the one step whose label holds these words."""
        [found] = [one for one in self.results if label in one.step.label]
        return found

    def failed(self) -> StepResult:
        """The one step that failed."""
        [found] = [one for one in self.results if one.outcome is Outcome.FAILED]
        return found

    def file(self, name: str) -> Path:
        """An output's file in the store."""
        outputs = (*self.plan.outputs, self.plan.full)
        one = next(output for output in outputs if output.name == name)
        artifact = self.store.find(one.step)
        assert artifact is not None
        return artifact.path / one.artifact_file

    def measures(self, name: str) -> Mapping[str, JSON]:
        """What was measured on an output."""
        outputs = (*self.plan.outputs, self.plan.full)
        one = next(output for output in outputs if output.name == name)
        artifact = self.store.find(one.measure)
        assert artifact is not None
        return artifact.facts


def write_recipe(folder: Path, chain: str, model: Path, **fields: Any) -> Path:
    """A recipe file; ``fields`` go into it as they are."""
    recipe = {
        "name": f"test-{model.name}",
        "family": "llama",
        "toolchain": chain,
        "model": {"path": str(model)},
        **fields,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def run(path: Path, chain: ToolChain, store: Store, *, threads: int = 2) -> Ran:
    """Plan and run a recipe; nothing is raised for steps that fail."""
    vocabulary = Vocabulary(
        {name: known for known, spec in chain.types.items() for name in (known, *spec.aliases)},
        chain.tensor_types,
        chain.outtypes,
    )
    [recipe] = load_many([path], lambda _name: vocabulary)
    settings = Settings(threads=threads, keep="all")
    session = workflow.Session(store, settings, workflow.choices(), Plain(io.StringIO()))
    sources = workflow.resolve(recipe, chain, session)
    made = plan.make(recipe, chain, sources, session.choices)
    results = session.runner.run(made.steps, made.targets)
    return Ran(made, tuple(results), store)
