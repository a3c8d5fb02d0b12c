"""The result of each recipe in a night, as values and as JSON."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from orchestrator.base.errors import OrchestrateError
from orchestrator.base.process.environment_variables import censored
from orchestrator.base.safe_markdown import block
from orchestrator.base.shell_words import command
from orchestrator.base.step_values import JSON, Outcome
from orchestrator.history import Ended, alarm_advice
from orchestrator.runs import record_history
from orchestrator.runs.finished_plan import Finished
from orchestrator.toolchain import upstream_urls
from orchestrator.workflows.nightly.compare_with_last_good import Compared
from orchestrator.workflows.nightly.night_values import FORMAT, RecipeResult, Summary
from orchestrator.workflows.nightly.rebuild_unchanged import Rebuilt


def unplanned_result(name: str, file: Path, run: int, end: Ended) -> RecipeResult:
    """The result of a recipe that could not be planned."""
    return RecipeResult(name, file, end.state, run, error=end.error)


def recipe_result(
    finished: Finished, run: int, end: Ended, compared: Compared, rebuilt: Rebuilt
) -> RecipeResult:
    """The result of a recipe that was planned."""
    plan, good = finished.plan, compared.good
    outcomes = [one.outcome for one in finished.steps]
    verdicts = {row.file for row in end.files if row.verdict not in ("", "identical")}
    quiet = verdicts - {alarm.file for alarm in end.alarms}
    changed = [f"{name}: other bytes than in the last good night" for name in sorted(quiet)]
    return RecipeResult(
        recipe=plan.recipe.name,
        file=plan.recipe.file,
        state=end.state,
        run=run,
        seconds=sum(one.seconds for one in end.steps if one.outcome == Outcome.DONE.value),
        error=end.error,
        toolchain=plan.chain.name,
        source=plan.chain.source.git,
        commit=plan.sources.commit,
        before=good.commit if good is not None else "",
        good=good.night if good is not None else 0,
        files=end.files,
        alarms=end.alarms,
        notes=(*compared.notes, *changed, *rebuilt.notes, *finished.notes),
        made=outcomes.count(Outcome.DONE),
        found=outcomes.count(Outcome.HIT),
        left=tuple(one.step.label for one in finished.steps if one.outcome is Outcome.SKIPPED),
        rebuilt=rebuilt.finished is not None,
    )


def as_json(summary: Summary, *, files: bool = True) -> dict[str, JSON]:
    """A night for machines and webhooks; the errors in it were freed of secrets before.

    Without ``files`` for the history, which has these and their numbers in tables.
    """
    return {
        "format": FORMAT,
        "night": summary.night,
        "state": summary.state,
        "exit_code": summary.code,
        "started": summary.started,
        "seconds": round(summary.seconds, 1),
        "store_bytes": summary.store_bytes,
        "collected": summary.collected,
        "notes": list(summary.notes),
        "recipes": [_recipe(one, files=files) for one in summary.recipes],
    }


def no_night(error: OrchestrateError) -> tuple[str, dict[str, JSON]]:
    """What is said, as Markdown and for machines, where a night ended before its summary."""
    said = censored(str(error))
    value: dict[str, JSON] = {
        "format": FORMAT,
        "state": record_history.failed(error).state,
        "exit_code": error.exit_code,
        "error": said,
        "recipes": [],
    }
    return f"# No night\n\n{block(said, 'text')}\n", value


def _recipe(one: RecipeResult, *, files: bool) -> dict[str, JSON]:
    raised = raised_alarms(one)
    values: dict[str, JSON] = {**vars(one), "file": one.file.as_posix()}
    values |= {
        "seconds": round(one.seconds, 1),
        "files": [row.as_json() for row in one.files if files],
        "alarms": [asdict(alarm) for alarm in one.alarms],
        "notes": list(one.notes),
        "left": list(one.left),
        "compare": upstream_urls.compare_url(one.source, *_between(raised)),
        "advice": {kind: command(argv) for kind, argv in alarm_advice.commands(raised)},
    }
    return values


def raised_alarms(one: RecipeResult) -> alarm_advice.RaisedAlarms:
    """A recipe's alarms, as advice is asked for them."""
    return alarm_advice.RaisedAlarms(
        one.recipe, str(one.file), one.alarms, one.files, one.before, one.commit
    )


def _between(raised: alarm_advice.RaisedAlarms) -> tuple[str, str]:
    """The commits between which upstream changed: up to the one that cannot be built, if any."""
    broken = raised.upstream
    return (broken.before, broken.after) if broken else (raised.before, raised.commit)


def step_summary(markdown: str) -> str:
    """Add a night to the page of a GitHub workflow's run; an empty text, or why not.

    GITHUB_STEP_SUMMARY names a file that takes Markdown ("Workflow commands for GitHub
    Actions", adding a job summary).
    """
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if not place:
        return ""
    try:
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(markdown + "\n")
    except OSError as error:
        return f"the summary cannot be written to {place}: {error.strerror}"
    return ""
