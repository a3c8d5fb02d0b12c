"""What nights were told and what they said, as words; and what to do about an alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath

from orchestrator import report, units
from orchestrator.history import FileRow
from orchestrator.records import JSON
from orchestrator.site.past import Entry

_SHA = 12  # digits of a commit that no other one of a large repository has
_FORMS: Mapping[str, tuple[str, Callable[[JSON], str]]] = {
    "paths": ("Recipes", "\n".join),
    "select": ("Of them", str),
    "rebuild": ("Unchanged files", lambda _value: "made again"),
    "hours": ("No new work after", "{} h".format),
    "max_store": ("Largest store", units.size),
    "retries": ("Network asked again", "{} times".format),
    "store_bytes": ("Store in the end", units.size),
    "collected": ("Old artifacts removed", str),
    "error": ("Ended by", str),
}


def facts(values: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """What is known of and stated; other values have places of their own."""
    return [
        (title, form(values[name]))
        for name, (title, form) in _FORMS.items()
        if values.get(name) not in (None, "", [], 0)
    ]


def notes(summary: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    """A night's remarks: the recipe, if it is about one, and a sentence."""
    for note in summary.get("notes", ()):
        yield "", str(note)
    for one in summary.get("recipes", ()):
        yield from ((one["recipe"], str(note)) for note in one.get("notes", ()))
        left = one.get("left", ())
        if left:
            some = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
            yield one["recipe"], f"{units.plural(len(left), 'step')} left: {some}"


def advice(
    entry: Entry, files: Mapping[str, FileRow], told: Mapping[str, JSON]
) -> Iterator[tuple[str, str]]:
    """Commands for a run that rang, each with what it is for.

    Args:
        entry: The run.
        files: Its files by name.
        told: What the night's summary says of the recipe: there its file stands as given.
    """
    before = entry.before.commit if entry.before else ""
    rang = [alarm.file for alarm in entry.alarms if alarm.what == "bytes" and alarm.file in files]
    if rang and before and entry.run.commit not in ("", before):
        recipe = str(told.get("file") or PurePath(entry.run.file).name)
        commits = ["--good", before[:_SHA], "--bad", entry.run.commit[:_SHA]]
        command = ["orchestrate", "bisect", recipe, "--only", files[rang[0]].type, *commits]
        yield "to find the commit", report.command(command)
    if entry.alarms and not entry.run.accepted:
        accept = ["orchestrate", "accept", entry.run.recipe]
        yield "if the change is welcome", report.command(accept)
