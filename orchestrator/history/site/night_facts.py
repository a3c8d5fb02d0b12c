"""What nights were told and what they said, as words; and what to do about an alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath

from orchestrator.base import shell_words, units
from orchestrator.base.step_values import JSON
from orchestrator.history import FileRow, alarm_advice
from orchestrator.history.site.read_history import Entry

_FOR: Mapping[alarm_advice.Kind, str] = {
    "broken": "to find the commit that broke the build",
    "bisect": "to find the commit",
    "reproduce": "to find the step that gives other bytes",
    "accept": "if the change is welcome",
}
_FORMS: Mapping[str, tuple[str, Callable[[JSON], str]]] = {
    "paths": ("Recipes", "\n".join),
    "select": ("Selected", str),
    "rebuild": ("Unchanged files", lambda _value: "made again"),
    "hours": ("No new work after", "{} h".format),
    "max_store": ("Store limit", units.size),
    "retries": ("Network retries", str),
    "store_bytes": ("Store size at the end", units.size),
    "collected": ("Old artifacts removed", str),
    "error": ("Error", str),
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
            yield one["recipe"], f"{units.plural(len(left), 'step')} not started: {some}"


def what_to_do(
    entry: Entry, files: Sequence[FileRow], told: Mapping[str, JSON]
) -> Iterator[tuple[str, str]]:
    """Commands for a run with alarms, each with what it is for.

    Args:
        entry: The run.
        files: Its files.
        told: What the night's summary says of the recipe: there its file stands as given.
    """
    run = entry.run
    file = str(told.get("file") or PurePath(run.file).name)
    before = entry.before.commit if entry.before else ""
    raised = alarm_advice.RaisedAlarms(run.recipe, file, entry.alarms, files, before, run.commit)
    for kind, argv in alarm_advice.commands(raised):
        if kind != "accept" or not run.accepted:
            yield _FOR[kind], shell_words.command(argv)
