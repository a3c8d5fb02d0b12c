"""Run plans as one graph, and release what need not be kept."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Thread

from orchestrator.base.errors import UsageError
from orchestrator.base.near_match import near
from orchestrator.base.step_values import StepResult
from orchestrator.engine.retention_policy import RELEASED, release
from orchestrator.engine.scheduler import needed
from orchestrator.history import site
from orchestrator.measures import registry
from orchestrator.measures.definition import Measure
from orchestrator.planning import recipe_to_steps as plan
from orchestrator.planning.recipe_to_steps import Output, Plan
from orchestrator.runs.session import Session


def up_to_date(one: Plan, session: Session) -> bool:
    """Whether every target of a plan is in the store."""
    return all(session.known.find(key) is not None for key in one.targets)


def execute(plans: Sequence[Plan], session: Session) -> list[StepResult]:
    """Run plans as one graph; shared steps run once."""
    steps = plan.union(plans)
    targets = list(dict.fromkeys(key for one in plans for key in one.targets))
    if not all(up_to_date(one, session) for one in plans):
        # This process waits for tools from now on, and a report will be drawn in the end.
        Thread(target=site.make_ready, daemon=True).start()
    return session.wide_runner.run(steps, targets, share=True)


def forget_measures(
    plans: Sequence[Plan], session: Session, names: Sequence[str] | None = None
) -> None:
    """Forget what was measured, so that the next run measures it again; no key changes.

    Args:
        plans: The plans.
        session: What all commands share.
        names: The measures; all when None. Of a full file that is no longer stored nothing is
            forgotten: it would have to be made again first.

    Raises:
        UsageError: There is no such measure, or what is forgotten here comes back from a cache.
    """
    if names and session.cluster is not None and session.cluster.apart:
        raise UsageError(
            "nothing is measured again by workers with stores of their own: what they measured "
            "once comes from the shared cache",
            "Leave --cluster out, or use workers with this run's store.",
        )
    wanted = None if names is None else [_measure(name) for name in names]
    for one in plans:
        for output in (*one.outputs, one.full):
            keys = set(output.measures.values())
            # The full file's logits are a measurement too, and may have been kept.
            keys |= {one.step(key).inputs.get("logits", "") for key in keys} - {""}
            if wanted is not None:
                stored = session.known.find(output.step, quick=True) is not None
                keys = {_key(output, measure) for measure in wanted} - {""} if stored else set()
            for key in keys:
                session.known.release(key)


def _measure(name: str) -> Measure:
    found = {one.name: one for one in registry.measures()}
    if name not in found:
        raise UsageError(
            f"there is no measure {name!r}{near(name, found)}", f"There are {', '.join(found)}."
        )
    return found[name]


def _key(output: Output, measure: Measure) -> str:
    """Key of the step that finds a measure of a file: its own, or one that finds it along."""
    along = measure.work.covered_by if measure.work is not None else ""
    names = (measure.name, along, measure.found_with)
    return next((output.measures[name] for name in names if name in output.measures), "")


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
        free = [step for step in loose if step.key not in awaited]
        release(session.store, free, keep, session.settings.keep_logits, awaited)
