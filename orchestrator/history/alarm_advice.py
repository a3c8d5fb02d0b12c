"""What to do about alarms: the one answer for a night's summary and for the pages; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.history import Alarm, FileRow

_SHORT = 12  # digits of a commit that no other one of a large repository has

Kind = Literal["bisect", "reproduce", "accept"]


@dataclass(frozen=True)
class RaisedAlarms:
    """A recipe and the alarms that it raised.

    ``file`` is the recipe as commands are given it; ``before`` and ``commit`` are the tool
    chain's commits of the last good night and of now, empty where not known.
    """

    recipe: str
    file: str
    alarms: Sequence[Alarm]
    files: Sequence[FileRow]
    before: str
    commit: str


def commands(raised: RaisedAlarms) -> Iterator[tuple[Kind, tuple[str, ...]]]:
    """Commands that help, as argv: find the commit, find the step that drifts, accept."""
    changed = {alarm.file for alarm in raised.alarms if alarm.what == "bytes"}
    # The unquantized file is no output, so nothing can search for it.
    types = [row.type for row in raised.files if row.file in changed and not row.full]
    if types and raised.before and raised.commit not in ("", raised.before):
        between = ("--good", raised.before[:_SHORT], "--bad", raised.commit[:_SHORT])
        yield "bisect", ("orchestrate", "bisect", raised.file, "--only", types[0], *between)
    drift = {alarm.what == "rebuild" for alarm in raised.alarms}
    if True in drift:
        yield "reproduce", ("orchestrate", "reproduce", raised.file, "--twice")
    if False in drift:
        yield "accept", ("orchestrate", "accept", raised.recipe)
