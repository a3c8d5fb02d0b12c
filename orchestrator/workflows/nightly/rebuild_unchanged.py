"""Make unchanged files again, to find out whether the same bytes still come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import Interrupted, OrchestrateError, problem_of
from orchestrator.base.step_values import Outcome
from orchestrator.history import Alarm
from orchestrator.runs import bring_up_to_date
from orchestrator.runs.finished_plan import Finished
from orchestrator.runs.session import Session
from orchestrator.workflows import reproduce
from orchestrator.workflows.reproduce import IDENTICAL, Verdict

_STORE = "the store"


@dataclass(frozen=True)
class Rebuilt:
    """What making again showed; ``finished`` has the new measures. Empty: it was not done."""

    alarms: tuple[Alarm, ...] = ()
    finished: Finished | None = None
    error: OrchestrateError | None = None
    notes: tuple[str, ...] = ()


def unchanged(finished: Finished) -> bool:
    """Whether nothing had to be done for a plan."""
    return finished.refused is None and all(one.outcome is Outcome.HIT for one in finished.steps)


def rebuild(finished: Finished, session: Session, out: Path, say: Callable[[str], None]) -> Rebuilt:
    """Make a plan's files in an empty store, compare them, and measure the files again.

    Args:
        finished: What the night found up to date.
        session: Its store has the files, and lends the tools.
        out: The folder of outputs.
        say: Told how it goes.

    Raises:
        Interrupted: As :meth:`orchestrator.engine.scheduler.Runner.run`.
    """
    plan = finished.plan
    alarms: tuple[Alarm, ...] = ()
    try:
        found = reproduce.reproduce(plan, session, out, rebuild_tools=False, twice=False, say=say)
        alarms = tuple(_alarm(one) for one in found.verdicts if _drifted(one))
        for output in (*plan.outputs, plan.full):
            for key in output.measures.values():
                session.known.release(key)
        [measured] = bring_up_to_date.bring(session, [plan], out)
    except Interrupted:
        raise
    except OrchestrateError as error:
        return Rebuilt(alarms, error=error)
    except OSError as error:
        return Rebuilt(alarms, error=problem_of(error))
    return Rebuilt(alarms, measured)


def _drifted(one: Verdict) -> bool:
    return one.against == _STORE and one.verdict != IDENTICAL


def _alarm(verdict: Verdict) -> Alarm:
    return Alarm(
        file=verdict.file,
        what="rebuild",
        message=f"made again from the same inputs, its bytes differ ({verdict.verdict})",
        before=verdict.other,
        after=verdict.sha256,
        limit=IDENTICAL,
    )
