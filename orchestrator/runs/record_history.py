"""What a run leaves in the history; it is shown on pages, so no secret may be in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import BaseModel

from orchestrator.base.digest import key
from orchestrator.base.errors import EnvironmentProblem, Interrupted, OrchestrateError
from orchestrator.base.process.environment_variables import censored
from orchestrator.base.step_values import JSON, Outcome, StepResult
from orchestrator.engine import progress_listeners
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.scheduler import LATE
from orchestrator.history import Alarm, Ended, FileRow, History, StepRow
from orchestrator.history.run_records import (
    ALARM,
    ENVIRONMENT,
    FAILED,
    INTERRUPTED,
    LEFT,
    OK,
    WARNING,
)
from orchestrator.measures import registry
from orchestrator.measures.check_status import Status
from orchestrator.planning.recipe_to_steps import Output, Plan
from orchestrator.recipe import portable
from orchestrator.runs import report
from orchestrator.runs.finished_plan import Finished

_NOT_RUN = -1
# What of a file's entry in a recipe says how it is judged, not what it is.
_JUDGING = {"limits", "allow_fallback", "allow_requantize", "name"}

Record = Callable[[Sequence[Finished]], None]


@contextmanager
def by_hand(store: Store, plans: Sequence[Plan]) -> Iterator[Record]:
    """Note a run of plans that a person started; the value is called with what became of them.

    A history that cannot be written is a warning: what was made is worth more.
    """
    history = History(store.root)
    runs: dict[str, int] = {}

    def record(done: Sequence[Finished]) -> None:
        with history.kept():
            for one in done:
                _attempt(store, partial(history.end_run, runs[one.plan.recipe.name], ended(one)))

    def begin_all() -> None:
        with history.kept():
            for one in plans:
                runs[one.recipe.name] = begin(history, one)

    if not _attempt(store, begin_all):
        yield lambda _done: None
        return
    try:
        yield record
    except OrchestrateError as error:
        whole = failed(error)
        for run in runs.values():
            _attempt(store, partial(history.end_run, run, whole))
        raise


def _attempt(store: Store, work: Callable[[], Any]) -> bool:
    try:
        work()
    except EnvironmentProblem as error:
        store.warn(error.message)
        return False
    return True


def begin(history: History, plan: Plan, night: int = 0) -> int:
    """Note that the run of a plan begins; its number."""
    recipe, chain = plan.recipe, plan.chain
    return history.begin_run(
        recipe.name,
        recipe.file.absolute(),
        recipe.digest,
        night=night,
        toolchain=chain.name,
        commit=plan.sources.commit,
        source=chain.source.git,
    )


def failed(error: OrchestrateError) -> Ended:
    """The end of a run that an error ended as a whole."""
    return Ended(_state_of(error), error=censored(str(error)))


def _state_of(error: Exception | None) -> str:
    if isinstance(error, Interrupted):
        return INTERRUPTED
    return ENVIRONMENT if isinstance(error, EnvironmentProblem) else FAILED


def ended(
    finished: Finished,
    alarms: Sequence[Alarm] = (),
    verdicts: Mapping[str, tuple[str, str, int]] | None = None,
) -> Ended:
    """All that is known of a run when it is over.

    Args:
        finished: What became of the plan.
        alarms: What changed beyond its limit.
        verdicts: By file name, how its bytes compare: verdict, note, and with which run.
    """
    files = file_rows(finished)
    for name, (verdict, note, against) in (verdicts or {}).items():
        files = [
            replace(row, verdict=verdict, note=note, against=against) if row.file == name else row
            for row in files
        ]
    return Ended(
        state=_state(finished, alarms),
        error=censored(_error(finished)),
        steps=tuple(_step(one) for one in finished.steps),
        files=tuple(files),
        alarms=tuple(alarms),
        report=finished.result.described if finished.result is not None else {},
    )


def _state(finished: Finished, alarms: Sequence[Alarm]) -> str:
    causes = [one.cause for one in finished.steps if one.outcome is Outcome.FAILED]
    causes += [] if finished.refused is None else [finished.refused]
    if causes:
        states = {_state_of(cause) for cause in causes}
        return ENVIRONMENT if states == {ENVIRONMENT} else FAILED
    reasons = {one.error for one in finished.steps if one.outcome is Outcome.SKIPPED}
    if reasons:
        return LEFT if LATE in reasons else INTERRUPTED
    status = finished.result.report.status if finished.result is not None else Status.SKIP
    if status is Status.FAIL:
        return FAILED
    if alarms:
        return ALARM
    return WARNING if status is Status.WARN else OK


def _error(finished: Finished) -> str:
    """What went wrong, in sentences; the ends of logs are kept with their steps."""
    failures = [] if finished.refused is None else [str(finished.refused)]
    failures += [
        f"{one.step.label}: {one.error}" for one in finished.steps if one.outcome is Outcome.FAILED
    ]
    rows = finished.result.report.rows if finished.result is not None else ()
    failures += [
        f"{row.file}: {check.name}: {check.message}"
        for row in rows
        for check in row.checks
        if check.status is Status.FAIL
    ]
    return "\n".join(failures)


def _step(result: StepResult) -> StepRow:
    wrong = result.outcome is Outcome.FAILED
    code = getattr(result.cause, "exit_code", 1) if wrong else 0
    log = (
        "\n".join(progress_listeners.log_tail(result.log))
        if wrong and result.log is not None
        else ""
    )
    worked = result.outcome is Outcome.DONE
    return StepRow(
        key=result.step.key,
        kind=result.step.kind,
        label=result.step.label,
        outcome=result.outcome.value,
        seconds=result.seconds if worked else 0.0,
        peak_memory=result.peak_memory if worked else 0,
        exit=_NOT_RUN if result.outcome is Outcome.SKIPPED else code,
        error=censored(result.error),
        log=censored(log),
    )


def file_rows(finished: Finished) -> list[FileRow]:
    """The files that are there, with what was measured on them, now or earlier."""
    if finished.result is None:
        return []
    plan = finished.plan
    outputs = {output.name: output for output in (plan.full, *plan.outputs)}
    measured = {one.step.key for one in finished.steps if one.outcome is Outcome.DONE}
    rows, how = finished.result.report.rows, measuring(plan)
    return [_file(plan, outputs[row.type], row, measured, how) for row in rows]


def _file(plan: Plan, output: Output, row: report.Row, measured: set[str], how: str) -> FileRow:
    return FileRow(
        file=row.file,
        type=row.type,
        sha256=row.sha256,
        status=row.status.value,
        step=output.step,
        artifact_file=output.artifact_file,
        asked=asked(plan, output),
        measure=_timed(output),
        fresh=_timed(output) in measured,
        measuring=how,
        numbers=row.numbers,
    )


def _timed(output: Output) -> str:
    """Key of the step that found a file's numbers of the machine; empty without any."""
    timed = [one for one in registry.measures() if any(number.timed for number in one.numbers)]
    keys = [output.measures.get(name, "") for one in timed for name in (one.name, one.found_with)]
    return next(filter(None, keys), "")


def asked(plan: Plan, output: Output) -> str:
    """A digest of what the recipe asks for one file, in the recipe's own words.

    Moving references count as they are written: while the digest stays, nobody changed the
    recipe, and other bytes come from upstream, from the model's repository or from here.
    """
    recipe = plan.recipe
    content: dict[str, JSON] = {
        "toolchain": recipe.toolchain.model_dump(mode="json", exclude={"tools"}),
        "model": recipe.model.model_dump(),
        "convert": recipe.convert.model_dump(mode="json"),
        "runtime": recipe.runtime.model_dump(mode="json"),
    }
    if recipe.toolchain.tools is not None:
        content["tools"] = recipe.toolchain.tools.model_dump()
    if output.part:
        content["part"] = {output.part: recipe.parts[output.part]}
    quant = output.quant
    if quant is not None:
        content["quant"] = quant.model_dump(mode="json", exclude=_JUDGING)
        content["order"] = quant.order
        if quant.imatrix and recipe.imatrix is not None:
            new = {
                name
                for name in ("file", "more", "recorded_as")
                if not getattr(recipe.imatrix, name)
            }
            content["imatrix"] = recipe.imatrix.model_dump(exclude=new)
    return key(portable(content, recipe.file.parent))


def measuring(plan: Plan) -> str:
    """A digest of how a recipe measures: other texts or lengths, other numbers."""
    numbered = {one.section.name for one in registry.measures() if one.section and one.numbers}
    content = {
        name: value.model_dump() if isinstance(value, BaseModel) else value
        for name in sorted(numbered)
        if (value := getattr(plan.recipe.verify, name)) or registry.sections()[name].in_digest
    }
    return key(portable(content, plan.recipe.file.parent))
