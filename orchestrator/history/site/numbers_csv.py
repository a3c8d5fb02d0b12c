"""All numbers of a recipe as comma-separated values, for other programs."""

from __future__ import annotations

import csv as comma
import io
import re

from orchestrator.history.site import format_values
from orchestrator.history.site.time_series import Runs

_RUN = ("night", "started", "machine", "commit")
_FILE = (
    *("type", "status", "verdict", "sha256", "size", "perplexity", "kld", "same_top"),
    *("prompt_per_second", "generation_per_second"),
)
# Enough to tell digests apart; whole ones are in the tables, and this is a line for every night.
_DIGEST = 12
_HEXADECIMAL = re.compile(r"[0-9a-f]+")
# A spreadsheet takes text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


def csv(runs: Runs) -> str:
    """One line a file and run, the oldest first; sizes in bytes, empty where not measured."""
    text = io.StringIO()
    lines = comma.writer(text, lineterminator="\n")
    lines.writerow([*_RUN, *_FILE])
    for entry, rows in runs:
        told = [_cell(getattr(entry.run, name)) for name in _RUN]
        lines.writerows([*told, *(_cell(getattr(row, name)) for name in _FILE)] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = format_values.plain(value)
    if len(text) >= 40 and _HEXADECIMAL.fullmatch(text):
        text = text[:_DIGEST]
    return f"'{text}" if text.startswith(_FORMULA) else text
