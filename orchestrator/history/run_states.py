"""The states of runs and nights: each with the one name that people see, everywhere.

Terminal, summaries, pages and history take label, sign and order from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.history import run_records


@dataclass(frozen=True)
class RunState:
    """A state for people: ``rank`` orders from what needs attention most.

    ``name`` is its value in the history and in JSON, ``label`` what people read, ``sign``
    what fits a narrow cell, ``meaning`` what explains it.
    """

    name: str
    sign: str
    label: str
    meaning: str
    rank: int

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look at it."""
        return self.rank < _QUIET


_QUIET = 60
FAILED = RunState("failed", "✕", "failed", "a step failed, or a limit was exceeded", 0)
ALARM = RunState("alarm", "▲", "alarm", "all files are made and within limits, but changed", 10)
INTERRUPTED = RunState("interrupted", "K", "interrupted", "it was interrupted or killed", 20)
ENVIRONMENT = RunState(
    "environment", "E", "environment", "the machine lacks something, or the network failed", 30
)
NOT_STARTED = RunState("left", "T", "not started (time)", "the time was up before all was done", 40)
WARNING = RunState("warning", "!", "warning", "a check warns", 50)
RUNNING = RunState("running", "…", "running", "it has not ended yet", 60)
ACCEPTED = RunState("ok", "✓", "accepted", "an alarm was raised, and a person accepted it", 65)
OK = RunState("ok", "✓", "ok", "files were made, and all checks passed", 70)
UNCHANGED = RunState("unchanged", "·", "unchanged", "all files were up to date", 80)
NONE = RunState("none", "", "not run", "it was not part of this night", 90)

LEGEND = (OK, UNCHANGED, WARNING, ALARM, FAILED, ENVIRONMENT, NOT_STARTED, INTERRUPTED, RUNNING)
_STATES = {
    run_records.OK: OK,
    run_records.WARNING: WARNING,
    run_records.ALARM: ALARM,
    run_records.FAILED: FAILED,
    run_records.ENVIRONMENT: ENVIRONMENT,
    run_records.LEFT: NOT_STARTED,
    run_records.INTERRUPTED: INTERRUPTED,
    run_records.RUNNING: RUNNING,
    # What reports call the states of checks.
    "pass": OK,
    "warn": WARNING,
    "fail": FAILED,
}


def of(state: str, made: int = 1) -> RunState:
    """A state of the history; of a good run in which nothing had to be made, another one."""
    known = _STATES.get(state)
    if known is None:
        unknown = "a state that this version does not know"
        return RunState("other", "?", state or "unknown", unknown, 55)
    return UNCHANGED if known is OK and made == 0 else known


def label(state: str) -> str:
    """What people read for a state of the history."""
    return of(state).label


def worst(states: Iterable[str]) -> str:
    """The state of several runs together: that which needs attention most."""
    return min(states, key=lambda state: of(state).rank, default=run_records.OK)
