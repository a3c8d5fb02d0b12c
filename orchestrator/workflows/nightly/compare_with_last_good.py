"""Hold what a night made against the last good night: bytes, numbers, speed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.engine.artifact_store import Store
from orchestrator.history import Alarm, FileRow, History, Run
from orchestrator.measures import registry
from orchestrator.measures.registry import NumberOf
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.runs.finished_plan import Finished
from orchestrator.runs.record_history import file_rows
from orchestrator.workflows.nightly import changed_steps
from orchestrator.workflows.nightly.compare_numbers import (
    EARLIER,
    RECENT,
    Pair,
    Speeds,
    changes,
    measured_alike,
    slower,
)

# Nights without a measurement lie between those with one.
_LOOK_BACK = 200
# How many good nights are looked through for a file that the last one lacks.
GOOD_RUNS = 5


@dataclass(frozen=True)
class Compared:
    """What was found about one recipe: alarms, and by file verdict, note and with which run.

    ``good`` is the run that was compared with, None on the first night.
    """

    alarms: tuple[Alarm, ...]
    verdicts: Mapping[str, tuple[str, str, int]]
    good: Run | None
    notes: tuple[str, ...] = ()


def compare(finished: Finished, history: History, store: Store, run: int) -> Compared:
    """Compare what a plan made with the last good night's.

    Files whose request in the recipe changed since are compared, but raise no alarm: that
    they differ is what somebody wanted.

    Args:
        finished: What became of the plan.
        history: Has the last good night.
        store: Has its files, as long as they were not collected.
        run: The number of tonight's run; only earlier ones are looked at.
    """
    name = finished.plan.recipe.name
    after = file_rows(finished)
    good_runs = history.good_runs(name, before=run, limit=GOOD_RUNS)
    before = baseline(good_runs, history)
    alarms: list[Alarm] = []
    verdicts: dict[str, tuple[str, str, int]] = {}
    for row in after:
        if row.file not in before:
            continue
        good, earlier = before[row.file]
        pair = _paired(earlier, row, store)
        verdicts[row.file] = (pair.verdict, pair.note, good.id)
        if earlier.asked == row.asked:
            since = _since(good, finished, pair, store)
            alarms += changes(pair, finished.plan.recipe.alarms, since)
    alarms += _speeds(finished, after, history, run)
    notes = tuple(_notes(finished, before, after, verdicts))
    return Compared(tuple(alarms), verdicts, good_runs[0] if good_runs else None, notes)


def baseline(good_runs: Sequence[Run], history: History) -> dict[str, tuple[Run, FileRow]]:
    """What each file is compared with: the newest of these runs that has it.

    A night that was accepted though half of it had failed has not all files.
    """
    rows = history.files([good.id for good in good_runs])
    found: dict[str, tuple[Run, FileRow]] = {}
    for good in reversed(good_runs):
        for row in rows.get(good.id, ()):
            if row.sha256 or row.file not in found:  # else it was measured once, and is gone
                found[row.file] = (good, row)
    return found


def _since(good: Run, finished: Finished, pair: Pair, store: Store) -> str:
    """The last good night, between which commits of upstream it happened, and what else moved."""
    commit = finished.plan.sources.commit
    words = f"night {good.night}"
    if good.commit != commit:
        words += f", between {good.toolchain} {good.commit[:12]} and {commit[:12]}"
    if pair.verdict in ("", "identical"):
        return words
    if pair.before.step == pair.after.step:
        return f"{words}, from the same inputs"
    same = good.commit == commit
    moved = changed_steps.changed(pair.before.step, pair.after.step, store, tools=same)
    return f"{words} (changed since: {', '.join(moved)})" if moved else words


def _notes(
    finished: Finished,
    before: Mapping[str, tuple[Run, FileRow]],
    after: Sequence[FileRow],
    verdicts: Mapping[str, tuple[str, str, int]],
) -> Iterator[str]:
    """What a person changed in the recipe, where it says why something is not compared."""
    pairs = [(*before[row.file], row) for row in after if row.file in before]
    for good, earlier, row in pairs:
        if earlier.asked != row.asked and verdicts[row.file][0] != "identical":
            yield f"{row.file}: the recipe asks for another file than in night {good.night}"
    others = {good.night for good, earlier, row in pairs if not measured_alike(earlier, row)}
    if others:
        yield (
            f"the recipe measures differently than in night {max(others)}: quality and "
            "speed are not compared"
        )
    asked = {output.file for output in finished.plan.outputs}
    newest = max((good.id for good, _ in before.values()), default=0)
    for file, (good, row) in before.items():
        if good.id == newest and file not in asked and not row.full:
            yield f"{file}: the recipe does not ask for it any more"


def _paired(before: FileRow, after: FileRow, store: Store) -> Pair:
    if not before.sha256 or not after.sha256:
        return Pair(before, after, "")
    if before.sha256 == after.sha256:
        return Pair(before, after, "identical")
    earlier, now = _stored(before, store), _stored(after, store)
    if earlier is None or now is None:
        note = "the earlier file is no longer stored, so how much they differ is not known"
        return Pair(before, after, "different", note)
    from orchestrator.modelfiles.comparing import compare as compare_files  # noqa: PLC0415 - seldom needed

    try:
        return Pair(before, after, str(compare_files(earlier, now, values=False).verdict.value))
    except FormatError as error:
        return Pair(before, after, "different", error.message)
    except OSError as error:
        return Pair(before, after, "different", f"they cannot be compared: {error.strerror}")


def _stored(row: FileRow, store: Store) -> Path | None:
    """A file of some night, if the store has exactly it."""
    found = store.find(row.step) if row.step else None
    if found is None:
        return None
    entry = found.manifest.get("files", {}).get(row.artifact_file, {})
    return found.path / row.artifact_file if entry.get("sha256") == row.sha256 else None


def _speeds(
    finished: Finished, after: Sequence[FileRow], history: History, run: int
) -> Iterator[Alarm]:
    """Alarms of all files, by this night and earlier ones on this machine.

    Nights that measured nothing do not end an alarm: the newest measures are still slow.
    """
    limits = finished.plan.recipe.alarms
    watched = [(m, n) for m, n in registry.speeds() if n.alarm and getattr(limits, n.alarm.key)]
    if not watched:
        return
    runs = history.runs(finished.plan.recipe.name, nightly=True, limit=_LOOK_BACK)
    here = next((one.machine for one in runs if one.id == run), "")
    accepted = max((one.id for one in runs if one.accepted and one.id < run), default=0)
    earlier = [one for one in runs if accepted <= one.id < run and one.machine == here]
    rows = history.files([one.id for one in earlier])
    for row in after:
        for measure, number in watched:
            tonight = [row.number(measure.name, number.name)] if row.fresh else []
            values = [*tonight, *_values(row, (measure, number), earlier, rows)]
            known = tuple(value for value in values if value is not None)
            yield from slower(Speeds(row.file, number, known), limits)


def _values(
    row: FileRow, of: NumberOf, runs: Sequence[Run], rows: Mapping[int, Sequence[FileRow]]
) -> list[float | None]:
    """What was measured on the same file in earlier nights, the newest first."""
    measure, number = of
    found: list[float | None] = [
        one.number(measure.name, number.name)
        for run in runs
        for one in rows.get(run.id, ())
        if one.file == row.file and one.fresh and one.asked == row.asked
        if measured_alike(one, row)
    ]
    return found[: RECENT + EARLIER]
