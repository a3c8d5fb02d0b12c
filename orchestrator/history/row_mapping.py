"""Rows of the database as values."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

from orchestrator.base import machine_info
from orchestrator.history.run_records import INTERRUPTED, RUNNING, Night, Run

if TYPE_CHECKING:
    import sqlite3

RUN = tuple(one.name for one in fields(Run))


def run_of(row: sqlite3.Row) -> Run:
    """A run, by its columns and its process."""
    values = {name: row[name] for name in RUN}
    return Run(**{**values, "state": _state(row)})


def night_of(row: sqlite3.Row) -> Night:
    """A night, by all its columns."""
    return Night(
        id=row["id"],
        started=row["started"],
        ended=row["ended"],
        machine=row["machine"],
        state=_state(row),
        options=json.loads(row["options"]),
        summary=json.loads(row["summary"]),
    )


def _state(row: sqlite3.Row) -> str:
    """The state; what nobody works on any more was interrupted."""
    state = str(row["state"])
    over = state == RUNNING and not machine_info.process_runs(row["process"])
    return INTERRUPTED if over else state
