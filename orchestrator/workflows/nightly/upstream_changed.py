"""Where a branch's newest commit cannot be built, a night takes the last one that could."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.base.errors import EnvironmentProblem, Interrupted, OrchestrateError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Outcome, StepResult
from orchestrator.engine import step_kinds
from orchestrator.history import Alarm, History
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs import chain_at_commit, record_history, use_lockfile
from orchestrator.runs.finished_plan import Finished
from orchestrator.runs.preflight import StepFailed
from orchestrator.runs.session import Session

# How many runs of a recipe are looked at for one whose tools were built.
_LOOK_BACK = 200


@dataclass(frozen=True)
class Fallback:
    """A plan with an earlier commit, and what became of the build of the newest one."""

    plan: Plan
    newest: str
    failed: StepResult

    @property
    def alarm(self) -> Alarm:
        """What the night says of upstream."""
        chain, commit = self.plan.chain.name, self.plan.sources.commit
        error = self.failed.error.partition("\n")[0]
        return Alarm(
            file=chain,
            what="upstream",
            message=f"upstream changed: {self.newest[:12]} cannot be built ({error}); made with "
            f"{commit[:12]}, the last commit that could",
            before=commit,
            after=self.newest,
        )

    @property
    def note(self) -> str:
        """Where all of it stands."""
        return f"all that was said while {self.newest[:12]} was built: {self.failed.log}"


def fallback(finished: Finished, history: History, session: Session) -> Fallback | None:
    """The plan with the last commit that was built; None where upstream is not what changed.

    Only a recipe that follows a branch has one: neither a commit that somebody wrote nor one
    of a lock is replaced.
    """
    failed = _failed_build(finished)
    plan = finished.plan
    base = plan.chain.pinned or plan.chain
    if failed is None or use_lockfile.held(plan.recipe, base, session) is not None:
        return None
    commit = _last_built(plan, history)
    if not commit:
        return None
    try:
        chain = chain_at_commit.at_commit(base, commit, session)
        sources = replace(plan.sources, commit=commit)
        older = recipe_to_steps.make(plan.recipe, chain, sources, session.choices)
    except Interrupted:
        raise
    except OrchestrateError:
        return None  # what failed first is told
    return Fallback(older, plan.sources.commit, failed)


def _failed_build(finished: Finished) -> StepResult | None:
    """The build that failed by no fault of the machine."""
    refused = finished.refused
    results: Sequence[StepResult] = finished.steps
    if isinstance(refused, StepFailed):
        results = [refused.result]
    for one in results:
        if one.outcome is Outcome.FAILED and step_kinds.compiles(one.step):
            cause = one.cause
            killed = getattr(cause, "hint", "") == run_process.HINTS["SIGKILL"]
            return None if isinstance(cause, EnvironmentProblem) or killed else one
    return None


def _last_built(plan: Plan, history: History) -> str:
    """The commit of the newest night that made files of the same recipe with another one."""
    asked = {record_history.asked(plan, output) for output in (plan.full, *plan.outputs)}
    earlier = history.runs(plan.recipe.name, nightly=True, limit=_LOOK_BACK)
    runs = [run for run in earlier if run.commit not in ("", plan.sources.commit)]
    files = history.files([run.id for run in runs])
    made = (run for run in runs if asked & {row.asked for row in files.get(run.id, ())})
    return next((run.commit for run in made), "")
