"""What the history knows, arranged as the pages need it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.base import units
from orchestrator.base.step_values import JSON, Outcome
from orchestrator.history import Alarm, FileRow, History, Machine, Night, Run, StepRow, run_states
from orchestrator.history.run_records import ALARM
from orchestrator.history.run_states import RunState
from orchestrator.toolchain import upstream_urls

_RUNNING = run_states.RUNNING
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Names that Windows keeps for devices, and one that servers give a meaning.
_TAKEN = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d|index)(?:\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """One run of one recipe; ``before`` is the last good night's run before it.

    ``made``, ``found`` and ``failed`` count its steps: those that worked, those whose results
    were there already, those that failed. ``seconds`` are those of its own and shared steps that
    worked, not of the night around them; None before its end.
    """

    run: Run
    made: int
    found: int
    failed: int
    alarms: tuple[Alarm, ...]
    failures: tuple[StepRow, ...]
    before: Run | None
    seconds: float | None

    @property
    def state(self) -> RunState:
        """Its state as it is shown."""
        if self.run.accepted and self.run.state == ALARM:
            return run_states.ACCEPTED
        known = self.made + self.found > 0
        return run_states.of(self.run.state, self.made if known else 1)

    @property
    def compare(self) -> str:
        """Where the upstream shows what came since the last good night, or nothing."""
        before = self.before.commit if self.before else ""
        return upstream_urls.compare_url(self.run.source, before, self.run.commit)


@dataclass(frozen=True, eq=False)
class Recipe:
    """All runs of one recipe that are shown, the newest first; ``page`` is its file's name."""

    name: str
    page: str
    entries: tuple[Entry, ...]

    @property
    def newest(self) -> Entry:
        """Its last run in a night; without one, its last run by hand."""
        return next((one for one in self.entries if one.run.night), self.entries[0])

    @property
    def known(self) -> Entry:
        """Its last run in a night that says how it is.

        A failure stands while a night goes on, and through nights that had no time to begin it.
        """
        ended = [one for one in self.entries if one.run.night and one.state is not _RUNNING]
        begun = next((one for one in ended if one.state is not run_states.NOT_STARTED), None)
        if begun is not None and begun.state.needs_attention:
            return begun
        return ended[0] if ended else self.newest

    @property
    def plain(self) -> bool:
        """Whether its name can be that of a folder."""
        return self.page == self.name

    def of_night(self) -> dict[int, Entry]:
        """Its runs by night."""
        return {entry.run.night: entry for entry in self.entries if entry.run.night}


@dataclass(frozen=True)
class HistoryView:
    """Everything that is shown; nights the newest first."""

    nights: tuple[Night, ...]
    recipes: tuple[Recipe, ...]
    machines: Mapping[str, Machine]

    def machine(self, name: str) -> str:
        """A machine for people: its processor and cores."""
        found = self.machines.get(name)
        if found is None:
            return name
        processor, cores = found.described.get("processor"), found.described.get("cores")
        return f"{processor}, {units.plural(cores or 0, 'core')}" if processor else name


def read(history: History, nights: int) -> HistoryView:
    """Read runs of the newest nights, and those by hand since the oldest of them."""
    shown = tuple(history.nights(nights, brief=True))
    oldest = min((night.id for night in shown), default=0)
    runs = history.runs()
    # The list is newest first; a run by hand belongs to the time of the nights around it.
    first = min((run.id for run in runs if run.night >= oldest and run.night), default=0)
    by_recipe: dict[str, list[Run]] = {}
    for run in runs:
        by_recipe.setdefault(run.recipe, []).append(run)
    known = _Known(
        history.step_counts(first),
        history.step_seconds(first),
        history.failures(first),
        history.alarms([run.id for run in runs if run.id >= first and run.state != "ok"]),
    )
    pages = page_names(by_recipe)
    recipes = (
        Recipe(name, pages[name], tuple(_entries(by_recipe[name], first, known)))
        for name in sorted(by_recipe, key=lambda name: (name.casefold(), name))
    )
    return HistoryView(shown, tuple(one for one in recipes if one.entries), history.machines())


@dataclass(frozen=True)
class _Known:
    counts: Mapping[int, Mapping[str, int]]
    seconds: Mapping[int, float]
    failures: Mapping[int, list[StepRow]]
    alarms: Mapping[int, list[Alarm]]


def _entries(runs: list[Run], first: int, known: _Known) -> Iterable[Entry]:
    """The runs from ``first`` on, each with the good one before it; newest first."""
    found: list[Entry] = []
    good: Run | None = None
    for run in reversed(runs):
        if run.id >= first:
            found.append(_entry(run, good, known))
        if run.night and run.good:
            good = run
    return reversed(found)


def _entry(run: Run, before: Run | None, known: _Known) -> Entry:
    counts = known.counts.get(run.id, {})
    return Entry(
        run=run,
        made=counts.get(Outcome.DONE.value, 0),
        found=counts.get(Outcome.HIT.value, 0),
        failed=counts.get(Outcome.FAILED.value, 0),
        alarms=tuple(known.alarms.get(run.id, ())),
        failures=tuple(known.failures.get(run.id, ())),
        before=before,
        seconds=known.seconds.get(run.id, 0.0) if run.ended else None,
    )


def page_names(names: Iterable[str]) -> dict[str, str]:
    """A file's name for each recipe: its own where that is safe and no other's in any case."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names):
        own = _FILE_NAME.fullmatch(name) and not _TAKEN.fullmatch(name)
        page = name if own and name[-1] != "." and name.casefold() not in taken else _hashed(name)
        taken.add(page.casefold())
        found[name] = page
    return found


def _hashed(name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
    return f"recipe-{digest[:16]}"


@dataclass(frozen=True)
class Details:
    """What only a recipe's own page shows: the files of each run, and the newest report."""

    files: Mapping[int, list[FileRow]]
    report: Mapping[str, JSON]


@lru_cache(maxsize=1)
def details(history: History, recipe: Recipe) -> Details:
    """Read what only the page of one recipe shows."""
    files = history.files([entry.run.id for entry in recipe.entries])
    digest = next((entry.run.report for entry in recipe.entries if entry.run.report), "")
    return Details(files, history.report(digest) if digest else {})
