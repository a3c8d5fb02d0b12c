"""All numbers of a recipe as comma-separated values, for other programs."""

from __future__ import annotations

import csv as comma
import io
import re
from collections.abc import Iterator

from orchestrator.history.site import format_values
from orchestrator.history.site.time_series import Runs
from orchestrator.measures import registry

_RUN = ("night", "started", "machine", "commit")
_FILE = ("type", "status", "verdict", "sha256")
# Enough to tell digests apart; whole ones are in the tables, and this is a line for every night.
_DIGEST = 12
_HEXADECIMAL = re.compile(r"[0-9a-f]+")
# A spreadsheet takes text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


def csv(runs: Runs) -> str:
    """One line a file and run, the oldest first; empty where not measured.

    Numbers are in the units of reports, in columns of their keys; those without a key are
    there where they were measured, by the names of measure and number.
    """
    text = io.StringIO()
    lines = comma.writer(text, lineterminator="\n")
    columns = list(_columns(runs))
    lines.writerow([*_RUN, *_FILE, *(title for title, _, _ in columns)])
    for entry, rows in runs:
        told = [_cell(getattr(entry.run, name)) for name in _RUN]
        for row in rows:
            facts = [_cell(getattr(row, name)) for name in _FILE]
            numbers = [row.number(measure, name) for _, measure, name in columns]
            lines.writerow([*told, *facts, *numbers])
    return text.getvalue()


def _columns(runs: Runs) -> Iterator[tuple[str, str, str]]:
    """Title, measure and number of each column."""
    known = {
        (name, one)
        for _, rows in runs
        for row in rows
        for name in row.numbers
        for one in row.numbers[name]
    }
    for measure, number in registry.numbers():
        if number.key:
            yield number.key, measure.name, number.name
        elif (measure.name, number.name) in known:
            yield f"{measure.name}_{number.name}", measure.name, number.name


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = format_values.plain(value)
    if len(text) >= 40 and _HEXADECIMAL.fullmatch(text):
        text = text[:_DIGEST]
    return f"'{text}" if text.startswith(_FORMULA) else text
