"""What each page of the site says: the index, one page a recipe, one page a night."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.history import FileRow, History, Night, run_states
from orchestrator.history.run_states import RunState
from orchestrator.history.site import (
    charts,
    failure_groups,
    format_values,
    night_facts,
    render_template,
    time_series,
)
from orchestrator.history.site.failure_groups import Trouble
from orchestrator.history.site.numbers_csv import csv
from orchestrator.history.site.read_history import Details, Entry, HistoryView, Recipe, details
from orchestrator.history.site.time_series import Runs
from orchestrator.history.site.trend_chart import Time
from orchestrator.history.site.write_pages import Text
from orchestrator.measures import number_tables, registry

COLUMNS = 30  # nights in the table of the index
CHANGES = 60
FED = 50  # nights in the feed
_BADGE = "nightly"
_COLOURS = {"good": "#2e7d4f", "bad": "#b3362b", "none": "#767676"}  # white text is readable on all
_BESIDE = (".provenance.json", ".provenance.dsse.json")


@dataclass(frozen=True)
class Cell:
    """One recipe in one night: what it looks like and says, and where it leads."""

    state: RunState
    text: str
    link: str


@dataclass(frozen=True)
class Line:
    """One recipe of the index: its cells, the newest night first."""

    recipe: Recipe
    state: RunState
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Site:
    """All pages of what is known; ``dist`` as the pages in ``folder`` find it, if at all."""

    history: History
    view: HistoryView
    folder: Path
    dist: Path | None
    title: str

    def pages(self) -> dict[str, Text]:
        """What makes each page, by its place."""
        found: dict[str, Text] = {
            render_template.STYLE: partial(render_template.static, render_template.STYLE),
            render_template.SCRIPT: partial(render_template.static, render_template.SCRIPT),
            "index.html": self.index,
            "nights/index.html": self.nights,
            "feed.xml": self.feed,
            "badge.svg": self.badge,
        }
        for recipe in self.view.recipes:
            found[f"recipes/{recipe.page}.html"] = partial(self.recipe, recipe)
            found[f"recipes/{recipe.page}.csv"] = partial(self.numbers, recipe)
        for place in range(len(self.view.nights)):
            found[_night_page(self.view.nights[place])] = partial(self.night, place)
        return found

    def index(self) -> str:
        """Recipes by nights, and what calls for attention."""
        nights = self.view.nights[:COLUMNS]
        lines = [_line(recipe, self._now(recipe), nights) for recipe in self.view.recipes]
        months = Counter(format_values.day(night.started)[:7] for night in nights)
        return self._page(
            "index.html.j2",
            "",
            nights=nights,
            months=months,
            lines=lines,
            attention=[(one, self._advice(one.entry)) for one in self._attention()],
            legend=run_states.LEGEND,
            counts=_counts([line.state for line in lines]),
        )

    def _attention(self) -> list[Trouble]:
        """Recipes whose last known state calls for somebody, whatever nights came since."""
        return failure_groups.group(
            (
                (recipe, recipe.known)
                for recipe in self.view.recipes
                if self._now(recipe).needs_attention
            ),
            self._report,
        )

    def _now(self, recipe: Recipe) -> RunState:
        """The last known state of a recipe; none once it is no part of its nights any more."""
        return run_states.NONE if self._is_gone(recipe) else recipe.known.state

    def _is_gone(self, recipe: Recipe) -> bool:
        """Whether a night over all of the same folders has ended without it since."""
        last = max(entry.run.night for entry in recipe.entries)
        places = [one.options.get("paths") for one in self.view.nights if one.id == last]
        return any(
            night.id > last and night.ended and night.options.get("paths") in places
            for night in self.view.nights
            if not night.options.get("select")
        )

    @cached_property
    def _report(self) -> Callable[[str], Mapping[str, Any]]:
        """A report by its digest; those of several nights are often the same."""
        return lru_cache(maxsize=64)(self.history.report)

    def nights(self) -> str:
        """All nights, one a line."""
        lines = [
            (night, _counts([entry.state for _, entry in self._of_night[night.id]]))
            for night in self.view.nights
        ]
        return self._page("nights.html.j2", "../", lines=lines)

    def feed(self) -> str:
        """The newest nights that have ended, for feed readers (Atom, RFC 4287)."""
        nights = [night for night in self.view.nights if night.ended][:FED]
        entries = []
        for night in nights:
            of_night = self._of_night[night.id]
            names = [one.name for one, entry in of_night if entry.state.needs_attention]
            entries.append((night, _counts([entry.state for _, entry in of_night]), names))
        return self._page("feed.xml.j2", "", nights=nights, entries=entries)

    def badge(self) -> str:
        """The worst of what the recipes are now, as a small picture for other pages."""
        states = [self._now(recipe) for recipe in self.view.recipes]
        known = [one for one in states if one is not run_states.NONE]
        state = min(known, key=lambda one: one.rank, default=run_states.NONE)
        wide = {"left": _width(_BADGE), "right": _width(state.label)}
        colour = _COLOURS["bad" if state.needs_attention else "good" if known else "none"]
        return self._page("badge.svg.j2", "", name=_BADGE, state=state, colour=colour, **wide)

    def night(self, place: int) -> str:
        """One night: every recipe, and what went wrong."""
        nights = self.view.nights
        night = nights[place]
        entries = sorted(self._of_night[night.id], key=lambda pair: pair[1].state.rank)
        return self._page(
            "night.html.j2",
            "../",
            night=night,
            older=nights[place + 1] if place + 1 < len(nights) else None,
            newer=nights[place - 1] if place else None,
            entries=entries,
            wrong=failure_groups.group(
                (
                    pair
                    for pair in entries
                    if pair[1].state.needs_attention and pair[1].state is not run_states.ALARM
                ),
                self._report,
            ),
            counts=_counts([entry.state for _, entry in entries]),
            facts=night_facts.facts({**night.options, **night.summary}),
            notes=self._notes(night),
        )

    def _notes(self, night: Night) -> list[tuple[Recipe | None, str]]:
        """The remarks of a night, each with the recipe it is about."""
        named = {recipe.name: recipe for recipe in self.view.recipes}
        return [
            (named.get(name), text) for name, text in night_facts.notes(self._summary(night.id))
        ]

    @cached_property
    def _details(self) -> Callable[[Recipe], Details]:
        """All that is known of a recipe; its page and its numbers are made one after the other."""
        return lru_cache(maxsize=1)(partial(details, self.history))

    @cached_property
    def _summary(self) -> Callable[[int], Mapping[str, Any]]:
        """The summary of a night; that of the newest one is asked for by many pages."""
        return lru_cache(maxsize=2)(self.history.summary)

    def _advice(self, entry: Entry) -> list[tuple[str, str]]:
        """What to do about the alarms of a recipe's last run."""
        if not entry.alarms:
            return []
        run = entry.run
        files = self.history.files([run.id]).get(run.id, [])
        summary = self._summary(run.night)
        said = {one["recipe"]: one for one in summary.get("recipes", ())}
        return list(night_facts.what_to_do(entry, files, said.get(run.recipe, {})))

    @cached_property
    def _of_night(self) -> Mapping[int, list[tuple[Recipe, Entry]]]:
        found: dict[int, list[tuple[Recipe, Entry]]] = {night.id: [] for night in self.view.nights}
        for recipe in self.view.recipes:
            for entry in recipe.entries:
                if entry.run.night in found:
                    found[entry.run.night].append((recipe, entry))
        return found

    def recipe(self, recipe: Recipe) -> str:
        """One recipe: its files now, what became of them over time, and how they are made."""
        known = self._details(recipe)
        runs = time_series.in_order(recipe.entries, known.files)
        nightly = [one for one in runs if one[0].run.night]
        made, rows = (nightly or runs)[-1] if runs else (None, ())
        colours = time_series.types(runs)
        time = time_series.time(recipe.entries)
        changes = time_series.changes(runs)
        return self._page(
            "recipe.html.j2",
            "../",
            recipe=recipe,
            trouble=self._trouble(recipe),
            advice=self._advice(recipe.known) if self._now(recipe).needs_attention else [],
            made=made,
            rows=rows,
            table=number_tables.table(rows, "site"),
            carried=time_series.carried(rows),
            links=self._links(recipe, rows),
            quality=list(charts.quality(rows, colours)),
            trends=list(charts.over_time(runs, time, colours)) if time else [],
            races=self._races(runs, time, colours),
            speeds=list(time_series.speeds(runs)),
            timed=[number for _, number in registry.speeds()],
            changes=changes[:CHANGES],
            more_changes=max(0, len(changes) - CHANGES),
            verdicts={
                one.run.id: _verdicts(known.files.get(one.run.id, ())) for one in recipe.entries
            },
            **_of_report(known),
        )

    def _trouble(self, recipe: Recipe) -> Trouble | None:
        """What is wrong with its last run, if anything is that is no alarm."""
        last = recipe.known
        wrong = last.state.needs_attention and last.state is not run_states.ALARM
        return failure_groups.group([(recipe, last)], self._report)[0] if wrong else None

    def _races(
        self, runs: Runs, time: Time | None, colours: Mapping[str, int]
    ) -> list[charts.Picture]:
        if time is None:
            return []
        return list(charts.speed_over_time(runs, time, colours, self.view.machine))

    def numbers(self, recipe: Recipe) -> str:
        """All numbers of all runs of a recipe, as comma-separated values."""
        return csv(time_series.in_order(recipe.entries, self._details(recipe).files))

    def _links(self, recipe: Recipe, rows: Sequence[FileRow]) -> dict[str, str]:
        """Addresses of what lies in the recipe's folder in dist, by file name."""
        if self.dist is None or not recipe.plain:
            return {}
        there = self.dist / recipe.name
        try:
            present = {path.name for path in there.iterdir()}
            way = os.path.relpath(there.resolve(), (self.folder / "recipes").resolve())
        except (OSError, ValueError):  # not made, or on another drive of Windows
            return {}
        names = [row.file + end for row in rows for end in ("", *_BESIDE)]
        wanted = [*names, "report.html", "report.json", "SHA256SUMS"]
        base = Path(way).as_posix()
        return {name: quote(f"{base}/{name}") for name in wanted if name in present}

    def _page(self, template: str, root: str, **values: Any) -> str:
        shared = {"root": root, "title": self.title, "view": self.view, "inline": None}
        return render_template.render(template, {**shared, **values})


def _width(text: str) -> int:
    """Pixels that a text of the badge takes, generously, with its margins."""
    return 7 * len(text) + 12


def _night_page(night: Night) -> str:
    return f"nights/{night.id}.html"


def _line(recipe: Recipe, now: RunState, nights: Sequence[Night]) -> Line:
    runs = recipe.of_night()
    cells = tuple(_cell(recipe, night, runs.get(night.id)) for night in nights)
    return Line(recipe, now, cells)


def _cell(recipe: Recipe, night: Night, entry: Entry | None) -> Cell:
    state = entry.state if entry else run_states.NONE
    link = f"{_night_page(night)}#{quote(recipe.page)}" if state.needs_attention else ""
    return Cell(state, f"{recipe.name}, {format_values.day(night.started)}: {state.label}", link)


def _counts(found: Sequence[RunState]) -> list[tuple[RunState, int]]:
    """How often each state is there, the worst first."""
    return sorted(Counter(found).items(), key=lambda pair: pair[0].rank)


def _verdicts(rows: Sequence[FileRow]) -> list[tuple[str, int]]:
    """How the bytes of a run's files compare with the last good ones, with counts."""
    return sorted(Counter(row.verdict for row in rows if row.verdict).items())


def _of_report(known: Details) -> dict[str, Any]:
    report = known.report
    return {
        "description": report.get("description", ""),
        "checks": [(one["file"], one["checks"]) for one in report.get("files", ())],
        "pins": sorted(report.get("pins", {}).items()),
        "notes": report.get("notes", ()),
    }
