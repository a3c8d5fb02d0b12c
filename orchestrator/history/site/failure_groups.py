"""What needs attention: recipes with the same problem, listed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from orchestrator.base.step_values import JSON
from orchestrator.history import run_states
from orchestrator.history.run_states import RunState
from orchestrator.history.site.read_history import Entry, Recipe

Found = tuple[Recipe, Entry]
Reports = Callable[[str], Mapping[str, JSON]]
_MOST_CHECKS = 8


@dataclass(frozen=True)
class Trouble:
    """One trouble of one or more recipes; ``checks`` are those that failed or warn."""

    found: tuple[Found, ...]
    checks: tuple[str, ...] = ()

    @property
    def entry(self) -> Entry:
        """The run whose error and logs stand for all."""
        return self.found[0][1]

    @property
    def state(self) -> RunState:
        """What it looks like."""
        return self.entry.state


def group(found: Iterable[Found], reports: Reports) -> list[Trouble]:
    """Runs with the same failed steps, or else the same error, together; the worst first."""
    groups: dict[object, list[Found]] = {}
    for recipe, entry in sorted(found, key=lambda pair: pair[1].state.rank):
        groups.setdefault(_reason(recipe, entry), []).append((recipe, entry))
    return [Trouble(tuple(pairs), _checks(pairs[0][1], reports)) for pairs in groups.values()]


def _reason(recipe: Recipe, entry: Entry) -> object:
    if entry.failures:
        return entry.state, tuple(step.key for step in entry.failures)
    if entry.run.error and not entry.alarms:
        return entry.state, entry.run.error
    return recipe.name


def _checks(entry: Entry, reports: Reports) -> tuple[str, ...]:
    """Checks of the run's report that failed or warn, where nothing else says what is wrong."""
    shown_already = (
        entry.failures or entry.alarms or entry.state not in (run_states.FAILED, run_states.WARNING)
    )
    if shown_already or not entry.run.report:
        return ()
    files = reports(entry.run.report).get("files", ())
    found = [
        f"{file['file']}: {check['message']}"
        for file in files
        for check in file["checks"]
        if check["status"] in ("fail", "warn")
    ]
    more = [f"and {len(found) - _MOST_CHECKS} more"] if len(found) > _MOST_CHECKS else []
    return (*found[:_MOST_CHECKS], *more)
