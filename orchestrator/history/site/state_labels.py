"""How states and verdicts look: a sign, a word and a class; never a colour alone."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.history import run_records


@dataclass(frozen=True)
class Face:
    """A state for people: ``rank`` orders from what calls for attention most.

    ``sign`` fits a narrow cell, ``word`` stands where there is room, ``meaning`` explains it.
    """

    name: str
    sign: str
    word: str
    meaning: str
    rank: int

    @property
    def calls(self) -> bool:
        """Whether somebody should look."""
        return self.rank < _QUIET


_QUIET = 60
FAILED = Face("failed", "✕", "FAIL", "a step failed, or a limit was not kept", 0)
ALARM = Face("alarm", "▲", "ALARM", "all is made and within limits, but something changed", 10)
ENVIRONMENT = Face("environment", "E", "environment", "the machine or the network was missing", 20)
KILLED = Face("interrupted", "K", "killed", "it was interrupted or killed", 30)
LEFT = Face("left", "L", "left", "there was no time left for it", 40)
WARNING = Face("warning", "!", "warning", "a check warns", 50)
RUNNING = Face("running", "…", "running", "it has not ended yet", 60)
OK = Face("ok", "✓", "ok", "made, and all checks passed", 70)
UNCHANGED = Face("unchanged", "·", "unchanged", "all was there already, and is well", 80)
NONE = Face("none", "", "not run", "it was not part of this night", 90)

ACCEPTED = Face("ok", "✓", "accepted", "it rang an alarm, and a person accepted the change", 65)

LEGEND = (OK, UNCHANGED, WARNING, ALARM, FAILED, ENVIRONMENT, LEFT, KILLED, RUNNING)
_FACES = {
    run_records.OK: OK,
    run_records.WARNING: WARNING,
    run_records.ALARM: ALARM,
    run_records.FAILED: FAILED,
    run_records.ENVIRONMENT: ENVIRONMENT,
    run_records.LEFT: LEFT,
    run_records.INTERRUPTED: KILLED,
    run_records.RUNNING: RUNNING,
    # What reports call the states of checks.
    "pass": OK,
    "warn": WARNING,
    "fail": FAILED,
}


def of(state: str, made: int = 1) -> Face:
    """The face of a state; of a good run in which nothing had to be made, another one."""
    known = _FACES.get(state)
    if known is None:
        return Face("other", "?", state or "unknown", "a state that this version does not know", 55)
    return UNCHANGED if known is OK and made == 0 else known


def worst(found: list[Face]) -> Face:
    """The one that calls for attention most."""
    return min(found, key=lambda face: face.rank, default=NONE)
