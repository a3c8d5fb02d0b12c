"""Results as tables and sentences for people, or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base import units
from orchestrator.base.step_values import JSON, StepResult
from orchestrator.base.terminal_colours import status
from orchestrator.base.text_table import table
from orchestrator.history import run_states
from orchestrator.measures import number_tables, timing
from orchestrator.measures.check_status import Status

if TYPE_CHECKING:
    from orchestrator.runs.collect_results import Result
    from orchestrator.runs.preflight import Preview
    from orchestrator.runs.report import Report
    from orchestrator.runs.session import Session

_SHOWN = 3
MARKS = {one: status(run_states.label(one.value)) for one in Status} | {Status.SKIP: "-"}


def summary(result: Result, folder: Path, notes: Iterable[str]) -> str:
    """A run's result: the table of files, what is wrong with them, and where they are."""
    described = result.report
    verdict = (
        MARKS[described.status] if described.status is not Status.SKIP else status("not verified")
    )
    parts = [f"\n{described.name}: {verdict}", _files(described)]
    parts += filter(None, [timing.remark(described.taken, datetime.now(timezone.utc))])
    troubles = [*_troubles(described)]
    troubles += [f"{MARKS[Status.FAIL]}: {file}: it was not made" for file in described.missing]
    troubles += [f"{MARKS[Status.WARN]}: {one.message}" for one in described.warnings]
    parts += [*troubles, *notes, f"Files and report: {folder}"]
    return "\n".join(parts)


def _troubles(described: Report) -> Iterator[str]:
    """What checks say of files; what several say alike, in one line."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for row in described.rows:
        for check in row.checks:
            if check.status in (Status.FAIL, Status.WARN):
                found.setdefault((MARKS[check.status], check.message), {})[row.file] = None
    for (mark, message), files in found.items():
        yield f"{mark}: {_named(list(files), len(described.rows))}: {message}"


def _named(files: Sequence[str], all_files: int) -> str:
    if len(files) > 1 and len(files) == all_files:
        return f"all {all_files} files"
    more = f" and {units.plural(len(files) - _SHOWN, 'more file')}" if len(files) > _SHOWN else ""
    return ", ".join(files[:_SHOWN]) + more


def summary_value(result: Result, folder: Path, notes: Iterable[str]) -> JSON:
    """The same for programs: the report, where the files are, and what was replaced there."""
    return {**result.described, "folder": str(folder), "changes": list(notes)}


def step_value(result: StepResult) -> JSON:
    """One step's outcome for programs."""
    return {
        "key": result.step.key,
        "label": result.step.label,
        "outcome": result.outcome.value,
        "path": str(result.path) if result.path is not None else None,
    }


def _files(described: Report) -> str:
    """What fits a terminal of the report's table; all of it is in report.md."""
    found = number_tables.table(described.rows, "terminal", described.full_name)
    rows = [
        (row.file, *measured, MARKS[row.status])
        for row, measured in zip(described.rows, found.texts, strict=True)
    ]
    return table(["File", *found.titles, ""], rows, right=range(1, len(found.titles) + 1))


def checks(result: Result) -> str:
    """Every check of every file, one a line."""
    rows = [
        (row.file, check.name, MARKS[check.status], check.message)
        for row in result.report.rows
        for check in row.checks
    ]
    return table(("File", "Check", "Result", "What was found"), rows)


def plan(previews: Sequence[Preview], session: Session, *, as_json: bool, refused: bool) -> str:
    """Steps, sizes and needs of plans; ``refused`` says that there are others."""
    from orchestrator.commands.display_plan import as_text, as_value

    if as_json:
        return json.dumps([as_value(one, session) for one in previews], indent=1)
    return as_text(previews, session, refused=refused)
