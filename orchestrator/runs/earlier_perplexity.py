"""What earlier runs of a recipe found of its unquantized file, to see it get worse."""

from __future__ import annotations

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.engine.artifact_store import Store
from orchestrator.history import History
from orchestrator.measures.expectation import Earlier
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs import record_history

_RUNS = 50


def of(plan: Plan, store: Store) -> Earlier | None:
    """The perplexity in the last good run whose unquantized file was made by another step.

    The recipe's file must be the same, and it must measure as today. Nothing is known where the
    history cannot be read: whoever notes the run there says so.
    """
    if "perplexity" not in plan.recipe.verify.sections:
        return None
    history = History(store.root)
    try:
        runs = history.with_full_file_of_another_step(plan.recipe.name, plan.full.step, _RUNS)
        files = history.files([run.id for run in runs])
    except EnvironmentProblem:
        return None
    here = str(plan.recipe.file.absolute())
    for run in runs:
        for row in files.get(run.id, ()) if run.good and run.file == here else ():
            other = row.full and row.step != plan.full.step
            value = row.number("perplexity", "value")
            if other and value is not None and row.measuring == record_history.measuring(plan):
                return Earlier(value, row.number("perplexity", "error"), run.started[:10])
    return None
