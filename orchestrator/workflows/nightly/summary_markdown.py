"""A night as Markdown: for a terminal, a log, or the page of a workflow run; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.base import units
from orchestrator.base.safe_markdown import Safe, block, code, inline, link
from orchestrator.base.shell_words import command
from orchestrator.history import alarm_advice, run_states
from orchestrator.history.run_records import LEFT
from orchestrator.runs.report import markdown_table
from orchestrator.toolchain import upstream_urls
from orchestrator.workflows.nightly.night_values import RecipeResult, Summary
from orchestrator.workflows.nightly.summary_values import raised_alarms

_SHORT = 12


def markdown(summary: Summary) -> str:
    """The whole night, what needs attention first."""
    return "\n\n".join([message(summary).rstrip(), "## Recipes", _table(summary)]) + "\n"


def message(summary: Summary) -> str:
    """What of a night a person must know, without the table of all recipes."""
    parts = [_head(summary)]
    parts += [*_alarms(summary), *_failures(summary), *_not_started(summary), *_notes(summary)]
    return "\n\n".join(parts) + "\n"


def _head(summary: Summary) -> str:
    states = [one.state for one in summary.recipes]
    counted = [
        f"{states.count(state)} {run_states.label(state)}"
        for state in sorted(set(states), key=lambda state: run_states.of(state).rank)
    ]
    collected = f", {units.plural(summary.collected, 'old artifact')} removed"
    return (
        f"# Night {summary.night}: {run_states.label(summary.state)}\n\n"
        f"{units.plural(len(states), 'recipe')} in {units.duration(summary.seconds)}: "
        f"{', '.join(counted)}. The store holds {units.size(summary.store_bytes)}"
        f"{collected if summary.collected else ''}."
    )


def _alarms(summary: Summary) -> Iterator[str]:
    raised = [one for one in summary.recipes if one.alarms]
    if not raised:
        return
    yield "## Alarms"
    for one in raised:
        lines = [f"- {code(alarm.file)}: {inline(alarm.message)}" for alarm in one.alarms]
        yield "\n".join([f"**{inline(one.recipe)}**", "", *lines, *_advice(one)])


def _advice(one: RecipeResult) -> Iterator[str]:
    """What to do about a recipe's alarms."""
    yield ""
    raised = raised_alarms(one)
    for kind, argv in alarm_advice.commands(raised):
        yield f"{_lead(kind, one, raised)}: {code(command(argv))}."


def _lead(kind: alarm_advice.Kind, one: RecipeResult, raised: alarm_advice.RaisedAlarms) -> str:
    if kind in ("broken", "bisect"):
        broken = raised.upstream if kind == "broken" else None
        between = (broken.before, broken.after) if broken else (raised.before, raised.commit)
        url = upstream_urls.compare_url(one.source, *between)
        changes = f" ([what upstream changed]({link(url)}))" if url else ""
        commits = " and ".join(code(commit[:_SHORT]) for commit in between)
        what = "the commit that broke the build" if broken else "the commit"
        return f"Between {inline(one.toolchain)} {commits}{changes}; to find {what}"
    if kind == "reproduce":
        return (
            "The same inputs gave other bytes, and accepting them does not help; to find the step"
        )
    return "If the change is welcome"


def _failures(summary: Summary) -> Iterator[str]:
    failed = [one for one in summary.recipes if one.error]
    if failed:
        yield "## Failures"
    for one in failed:
        head = f"**{inline(one.recipe)}** ({run_states.label(one.state)})"
        yield f"{head}\n\n{block(one.error, 'text')}"


def _not_started(summary: Summary) -> Iterator[str]:
    left = [one for one in summary.recipes if one.state == LEFT]
    if left:
        yield "## Not started: the time was up"
        yield "\n".join(
            f"- {inline(one.recipe)}: {units.plural(len(one.left), 'step')}, {_some(one.left)}"
            for one in left
        )


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(map(inline, labels[:3]))
    return f"{shown}, ..." if len(labels) > 3 else shown


def _notes(summary: Summary) -> Iterator[str]:
    notes = [*summary.notes, *(f"{one.recipe}: {n}" for one in summary.recipes for n in one.notes)]
    if notes:
        yield "## Notes"
        yield "\n".join(f"- {inline(note)}" for note in notes)


def _table(summary: Summary) -> str:
    titles = ("Recipe", "State", "Files", "Made", "Up to date", "Took", "Tool chain", "Against")
    return markdown_table(titles, [_row(one) for one in summary.recipes])


def _state(state: str) -> Safe:
    """Bold, where a person should look at it."""
    found = run_states.of(state)
    return Safe(f"**{found.label}**" if found.needs_attention else found.label)


def _row(one: RecipeResult) -> tuple[str, ...]:
    return (
        one.recipe,
        Safe(_state(one.state) + (" (made again)" if one.rebuilt else "")),
        str(len(one.files)),
        str(one.made),
        str(one.found),
        units.duration(one.seconds),
        f"{one.toolchain} {one.commit[:7]}".strip(),
        f"night {one.good}" if one.good else "-",
    )
