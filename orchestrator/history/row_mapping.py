"""Rows of the database as values; what this program does not write is refused."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from orchestrator.base import json_text, machine_info
from orchestrator.base.step_values import JSON
from orchestrator.history.run_records import INTERRUPTED, RUNNING, Machine, Night, Run

if TYPE_CHECKING:
    import sqlite3

RUN = tuple(one.name for one in fields(Run))
# What the pages read of a night's summary, and of each recipe in it.
_SUMMARY = {"notes": list, "recipes": list, "store_bytes": int, "collected": int}
_RECIPE = {"recipe": str, "file": str, "notes": list, "left": list}

Made = TypeVar("Made")


def value_of(kind: type[Made], row: Mapping[str, Any]) -> Made:
    """A row as a dataclass whose fields are named like the columns.

    Raises:
        TypeError: A column holds a value of another type than this program writes.
    """
    columns: Any = kind
    _expect(row, _types(columns))
    return kind(**row)


@cache
def _types(kind: Hashable) -> dict[str, tuple[type, ...]]:
    """The types of columns; SQLite has whole numbers for real ones and for bool."""
    unions = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(kind).items()}
    return {
        name: (*types, int) if {float, bool} & {*types} else types
        for name, types in unions.items()
        if Any not in types  # of JSON objects
    }


def _expect(values: Mapping[str, JSON], types: Mapping[str, Any]) -> None:
    for name, wanted in types.items():
        if name in values and not isinstance(values[name], wanted):
            raise TypeError(f"{name} is {str(values[name])[:40]!r}")


def run_of(row: sqlite3.Row) -> Run:
    """A run, by its columns and its process."""
    return value_of(Run, {**{name: row[name] for name in RUN}, "state": _state(row)})


def night_of(row: sqlite3.Row) -> Night:
    """A night, by all its columns."""
    told = {name: row[name] for name in ("id", "started", "ended", "machine")}
    options, summary = object_of(row["options"]), summary_of(row["summary"])
    return value_of(Night, {**told, "state": _state(row), "options": options, "summary": summary})


def machine_of(row: sqlite3.Row) -> Machine:
    """A machine, by its columns."""
    return Machine(row["id"], object_of(row["described"]))


def summary_of(text: str) -> Mapping[str, JSON]:
    """A night's summary.

    Raises:
        ValueError, TypeError: It is none.
    """
    found = object_of(text)
    _expect(found, _SUMMARY)
    for one in found.get("recipes", ()):
        if not isinstance(one, dict) or "recipe" not in one:
            raise TypeError(f"a recipe of a summary is {str(one)[:40]!r}")
        _expect(one, _RECIPE)
    return found


def object_of(text: str) -> Mapping[str, JSON]:
    """A JSON object.

    Raises:
        ValueError, TypeError: It is none.
    """
    found: Mapping[str, JSON] = json_text.parse(text.encode())
    if not isinstance(found, dict):
        raise TypeError(f"{text[:40]!r} is no JSON object")
    return found


def _state(row: sqlite3.Row) -> str:
    """The state; what nobody works on any more was interrupted."""
    state = str(row["state"])
    over = state == RUNNING and not machine_info.process_runs(row["process"])
    return INTERRUPTED if over else state
