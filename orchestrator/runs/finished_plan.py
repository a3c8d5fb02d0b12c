"""What became of plans: the one value that the console, the history and the night read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import (
    EXIT_ENVIRONMENT,
    EXIT_FAILED,
    EXIT_OK,
    EnvironmentProblem,
    OrchestrateError,
)
from orchestrator.base.step_values import Outcome, StepResult
from orchestrator.engine import progress_listeners
from orchestrator.measures.check_status import Status
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs.collect_results import Result


@dataclass(frozen=True)
class Finished:
    """What became of one plan.

    ``steps`` are those of its own and shared ones that ran, were hits or were skipped;
    ``result`` is None when nothing of it is there; ``refused`` is why it was not begun, or why
    its files could not be put into ``folder``;
    ``notes`` are sentences about the files in ``folder``.
    """

    plan: Plan
    folder: Path
    steps: tuple[StepResult, ...] = ()
    result: Result | None = None
    notes: tuple[str, ...] = ()
    refused: OrchestrateError | None = None

    @property
    def code(self) -> int:
        """The exit code of this plan alone."""
        judged = self.result is not None and self.result.report.status is Status.FAIL
        refused = self.refused.exit_code if self.refused is not None else EXIT_OK
        return max(refused, exit_code(self.steps), EXIT_FAILED if judged else EXIT_OK)


def exit_code(results: Sequence[StepResult]) -> int:
    """0, or 1 when a step failed, or 3 when the machine was the reason."""
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    if any(isinstance(result.cause, EnvironmentProblem) for result in failed):
        return EXIT_ENVIRONMENT
    return EXIT_FAILED if failed else EXIT_OK


def problems(done: Sequence[Finished]) -> list[str]:
    """What failed and why, what several plans share once, each with the end of its log."""
    results = {result.step.key: result for one in done for result in one.steps}
    refused = [str(one.refused) for one in done if one.refused is not None]
    return [*progress_listeners.failures(list(results.values())), *refused]
