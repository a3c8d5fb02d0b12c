"""Run a recipe through the real planner, runner and store, with any tool chain's data."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.base.step_values import JSON, Outcome, Step, StepResult
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Runner, Settings
from orchestrator.planning import recipe_to_steps as plan
from orchestrator.recipe import load_many
from orchestrator.runs import load_and_plan
from orchestrator.runs.session import Session, choices
from orchestrator.toolchain.load import ToolChain


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

    def tool(self, name: str) -> Path:
        """One of the tool chain's programs."""
        [build] = [step for step in self.plan.steps if step.kind == "build"]
        artifact = self.store.find(build.key)
        assert artifact is not None
        return artifact.path / "bin" / name

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
        """What was measured on an output, by measure."""
        outputs = (*self.plan.outputs, self.plan.full)
        one = next(output for output in outputs if output.name == name)
        found = {measure: self.store.find(key) for measure, key in one.measures.items()}
        return {measure: one.facts for measure, one in found.items() if one is not None}


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


def run(
    path: Path, chain: ToolChain, store: Store, cache: Store | None = None, threads: int = 1
) -> Ran:
    """Plan and run a recipe; nothing is raised for steps that fail.

    Args:
        path: The recipe.
        chain: Its tool chain.
        store: Where its artifacts go.
        cache: Where the tool chain is built and kept, if not in ``store`` too.
        threads: Of each tool. The tools of 2023 spin: more than there are idle cores makes
            them a hundred times slower.
    """
    [recipe] = load_many([path], lambda _name, _folder: load_and_plan.vocabulary_of(chain))
    settings = Settings(threads=threads, keep="all")
    session = Session(store, settings, choices(), Plain(io.StringIO()))
    made = plan.make(recipe, chain, load_and_plan.resolve(recipe, chain, session), session.choices)
    if cache is not None:
        tools = [step for step in made.steps if step.kind in ("build", "environment")]
        _share(tools, cache, store)
    return Ran(made, tuple(session.runner.run(made.steps, made.targets)), store)


def _share(tools: Sequence[Step], cache: Store, store: Store) -> None:
    """Build what the cache lacks, and link it into the store."""
    settings = Settings(threads=os.cpu_count() or 1, keep="all")
    results = Runner(cache, settings, Plain(io.StringIO())).run(tools, [one.key for one in tools])
    for result in results:
        assert not result.error, result.error
    for step in tools:
        found = cache.find(step.key)
        assert found is not None
        link = store.root / "artifacts" / step.key[:2] / step.key
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(found.path.parent, target_is_directory=True)
