"""Run plans as one graph, and release what need not be kept."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.base.step_values import StepResult
from orchestrator.engine.retention_policy import RELEASED
from orchestrator.engine.scheduler import needed, release
from orchestrator.planning import recipe_to_steps as plan
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs.session import Session


def up_to_date(one: Plan, session: Session) -> bool:
    """Whether every target of a plan is in the store."""
    return all(session.known.find(key) is not None for key in one.targets)


def execute(plans: Sequence[Plan], session: Session) -> list[StepResult]:
    """Run plans as one graph; shared steps run once."""
    steps = plan.union(plans)
    targets = list(dict.fromkeys(key for one in plans for key in one.targets))
    return session.runner.run(steps, targets)


def tidy(plans: Sequence[Plan], session: Session) -> None:
    """Release what the policy does not keep, of runs that were cut short too.

    What is still to be made keeps its inputs, for the run that goes on from there.
    """
    steps, keep = plan.union(plans), session.settings.keep
    targets = {key for one in plans for key in one.targets}
    loose = [
        step
        for step in steps
        if step.key not in targets
        and step.keep in RELEASED[keep]
        and session.known.find(step.key, quick=True) is not None
    ]
    if loose:
        unmade = needed(steps, targets, session.known.find).values()
        awaited = {key for step in unmade for key in step.inputs.values()}
        release(session.store, [step for step in loose if step.key not in awaited], keep)
