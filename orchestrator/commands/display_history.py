"""The history as tables for people, or as JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON, Outcome
from orchestrator.base.terminal_colours import status
from orchestrator.base.text_table import table
from orchestrator.history import History, Run, run_states
from orchestrator.measures import number_tables

_SHORT = 12
_COLUMN = 60


def text(history: History, recipe: str, limit: int, log_of: Callable[[str], Path]) -> str:
    """Nights and runs, or the runs of one recipe with the files of the newest.

    ``log_of`` says where the log of a step is, by its key.

    Raises:
        UsageError: The history has no such recipe.
    """
    name = _known(history, recipe) if recipe else ""
    runs = history.runs(name, limit=limit)
    parts = [] if name else _nights(history, limit)
    if not runs and not parts:
        return f"nothing was run yet in {history.path.parent}"
    parts.append(_runs(history, runs) if runs else "no recipe was run yet")
    if name:
        parts += [_what_failed(history, runs, log_of), _files(history, runs[0])]
    return "\n\n".join(part for part in parts if part)


def as_json(history: History, recipe: str, limit: int) -> dict[str, JSON]:
    """The same with all that is known of each run; raises as :func:`text`."""
    name = _known(history, recipe) if recipe else ""
    return _values(history, history.runs(name, limit=limit), limit, with_nights=not name)


def _known(history: History, recipe: str) -> str:
    """The recipe's name; its file may be given too, and means its newest name."""
    names = history.recipes()
    if recipe in names:
        return recipe
    file = Path(recipe).absolute()
    found = next((run.recipe for run in history.runs() if Path(run.file) == file), "")
    if not found:
        known = ", ".join(names) or "nothing yet"
        raise UsageError(f"{recipe} was never run here", f"The history has: {known}.")
    return found


def _values(
    history: History, runs: Sequence[Run], limit: int, *, with_nights: bool
) -> dict[str, JSON]:
    numbers = [run.id for run in runs]
    files, alarms = history.files(numbers), history.alarms(numbers)
    steps = history.steps_of(numbers)
    values: dict[str, JSON] = {
        "runs": [
            {
                **asdict(run),
                "files": [row.as_json() for row in files.get(run.id, ())],
                "alarms": [asdict(row) for row in alarms.get(run.id, ())],
                "steps": [asdict(row) for row in steps.get(run.id, ())],
            }
            for run in runs
        ],
        "machines": {name: dict(one.described) for name, one in history.machines().items()},
    }
    if with_nights:
        values["nights"] = [asdict(night) for night in history.nights(limit)]
    return values


def _nights(history: History, limit: int) -> list[str]:
    nights = history.nights(limit)
    counts = history.run_counts(since=nights[-1].id if nights else 0)
    rows = [
        (
            str(night.id),
            night.started[:16].replace("T", " "),
            status(run_states.label(night.state)),
            str(counts.get(night.id, 0)),
            night.machine,
        )
        for night in nights
    ]
    titles = ("Night", "Started (UTC)", "State", "Recipes", "Machine")
    return [table(titles, rows, right=(0, 3))] if rows else []


def _runs(history: History, runs: Sequence[Run]) -> str:
    alarms = history.alarms([run.id for run in runs])
    rows = [
        (
            run.started[:16].replace("T", " "),
            run.recipe,
            status(run_states.label(run.state)) + (" (accepted)" if run.accepted else ""),
            f"night {run.night}" if run.night else "by hand",
            f"{run.toolchain} {run.commit[:_SHORT]}".strip(),
            str(len(alarms.get(run.id, ()))) if run.id in alarms else "",
            _shortened(" ".join(run.error.split())),
        )
        for run in runs
    ]
    titles = ("Started (UTC)", "Recipe", "State", "When", "Tool chain", "Alarms", "What went wrong")
    used = [i for i, _ in enumerate(titles) if any(row[i] for row in rows)]
    return table([titles[i] for i in used], [[row[i] for i in used] for row in rows])


def _shortened(text: str) -> str:
    return text if len(text) <= _COLUMN else f"{text[: _COLUMN - 1]}…"


def _what_failed(history: History, runs: Sequence[Run], log_of: Callable[[str], Path]) -> str:
    """The whole errors of a recipe's runs, and where the logs of failed steps lie."""
    steps, lines = history.steps_of([run.id for run in runs]), []
    for run in runs:
        failed = [one for one in steps.get(run.id, ()) if one.outcome == Outcome.FAILED.value]
        logs = [log_of(one.key) for one in failed]
        if run.error:
            lines.append(f"{run.started[:16].replace('T', ' ')}: {run.error}")
            lines += [f"  all of it: {log}" for log in logs if log.is_file()]
    return "\n".join(lines)


def _files(history: History, run: Run) -> str:
    found = history.files([run.id]).get(run.id, [])
    measured = number_tables.table(found, "history")
    rows = [
        (
            row.file,
            status(run_states.label(row.status)),
            *numbers,
            status(row.verdict),
            row.sha256[:_SHORT],
        )
        for row, numbers in zip(found, measured.texts, strict=True)
    ]
    titles = ("File", "Checks", *measured.titles, "Bytes", "SHA-256")
    return table(titles, rows, right=range(2, len(titles) - 2)) if rows else ""


def accept(history: History, recipe: str, *, failed: bool) -> Run:
    """Accept a recipe's newest night; that run of it.

    Raises:
        UsageError: The history has no such recipe, or no night of it that made files; or it
            failed, and that is not meant to be accepted.
    """
    name = _known(history, recipe)
    run = history.acceptable(name)
    if run is None:
        raise UsageError(
            f"{name} has no night that made files",
            "Only nights are compared with each other: see 'orchestrate nightly --help'.",
        )
    if run_states.of(run.state) is run_states.FAILED and not failed:
        why = _shortened(" ".join(run.error.split())) or "a limit was not kept"
        raise UsageError(
            f"{name} failed in night {run.night}: {why}",
            "To compare later nights with the files that it made all the same, say --failed.",
        )
    history.accept(run.id)
    return run


def accepted(history: History, run: Run) -> str:
    """The sentence about it, with the files that later ones are compared with."""
    files = history.files([run.id]).get(run.id, [])
    said = f"{run.recipe}: later nights are compared with night {run.night} of {run.started[:10]}"
    return "\n".join(
        [said, *(f"  {row.file}  {row.sha256[:_SHORT]}" for row in files if row.sha256)]
    )


def run_json(run: Run) -> dict[str, JSON]:
    """A run alone, for programs."""
    return asdict(run)
