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

    @property
    def between(self) -> tuple[str, str]:
        """The commits that a search begins with: a good one, and a later one."""
        for alarm in self.alarms:
            if alarm.what == "upstream":
                return alarm.before, alarm.after
        return self.before, self.commit


def commands(raised: RaisedAlarms) -> Iterator[tuple[Kind, tuple[str, ...]]]:
    """Commands that help, as argv: find the commit, find the step that drifts, accept."""
    kinds = {alarm.what for alarm in raised.alarms}
    changed = {alarm.file for alarm in raised.alarms if alarm.what == "bytes"}
    # The unquantized file is no output, so nothing can search for it.
    rows = [row for row in raised.files if not row.full]
    types = [row.type for row in rows if row.file in changed or "upstream" in kinds]
    good, bad = raised.between
    if types and good and bad not in ("", good):
        between = ("--good", good[:_SHORT], "--bad", bad[:_SHORT])
        yield "bisect", ("orchestrate", "bisect", raised.file, "--only", types[0], *between)
    if "rebuild" in kinds:
        yield "reproduce", ("orchestrate", "reproduce", raised.file, "--twice")
    # A commit that cannot be built cannot be accepted.
    if kinds - {"rebuild", "upstream"}:
        yield "accept", ("orchestrate", "accept", raised.recipe)
