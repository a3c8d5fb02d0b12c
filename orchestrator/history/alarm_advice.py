"""What to do about alarms: the one answer for a night's summary and for the pages; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.history import Alarm, FileRow

_SHORT = 12  # digits of a commit that no other one of a large repository has

Kind = Literal["broken", "bisect", "reproduce", "accept"]


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
    def upstream(self) -> Alarm | None:
        """The alarm that the newest commit cannot be built, if there is one."""
        return next((alarm for alarm in self.alarms if alarm.what == "upstream"), None)


def commands(raised: RaisedAlarms) -> Iterator[tuple[Kind, tuple[str, ...]]]:
    """Commands that help, as argv: find the commit, find the step that drifts, accept."""
    kinds = {alarm.what for alarm in raised.alarms}
    changed = {alarm.file for alarm in raised.alarms if alarm.what == "bytes"}
    # The unquantized file is no output, so nothing can search for it.
    rows = [row for row in raised.files if not row.full]
    types = [row.type for row in rows if row.file in changed]
    if raised.upstream is not None and rows:
        ends = (raised.upstream.before, raised.upstream.after)
        yield "broken", _search(raised, rows[0].type, *ends)
    if types and raised.before and raised.commit not in ("", raised.before):
        yield "bisect", _search(raised, types[0], raised.before, raised.commit)
    if "rebuild" in kinds:
        yield "reproduce", ("orchestrate", "reproduce", raised.file, "--twice")
    # What a commit that cannot be built or the Hub says is gone when it is, and not accepted.
    if kinds - {"rebuild", "upstream", "source", "published"}:
        yield "accept", ("orchestrate", "accept", raised.recipe)


def _search(raised: RaisedAlarms, type_: str, good: str, bad: str) -> tuple[str, ...]:
    between = ("--good", good[:_SHORT], "--bad", bad[:_SHORT])
    return ("orchestrate", "bisect", raised.file, "--only", type_, *between)
