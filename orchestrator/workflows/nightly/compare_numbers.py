"""What changed since the last good night, held against a recipe's alarms; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from orchestrator.base import units
from orchestrator.history import Alarm, FileRow
from orchestrator.measures import differences, registry
from orchestrator.measures.definition import Measure, Number
from orchestrator.recipe.verify_section import Alarms

# Verdicts of orchestrator.modelfiles.comparing from the nearest on.
VERDICTS = ("identical", "same tensors", "near", "different")
# Speeds are noisy: the median of the last RECENT nights that measured is held against that of
# up to EARLIER nights before them, and LEAST of those must be there.
RECENT = 3
EARLIER = 7
LEAST = 3


@dataclass(frozen=True)
class Pair:
    """One file of this night and of the last good one; ``verdict`` is that of their bytes."""

    before: FileRow
    after: FileRow
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Speeds:
    """One number of the machine, of one file on one machine, the newest night first."""

    file: str
    number: Number
    values: tuple[float, ...]


def changes(pair: Pair, limits: Alarms, since: str) -> Iterator[Alarm]:
    """The alarms of one file.

    Args:
        pair: The file then and now.
        limits: The recipe's alarms.
        since: What the last good night was and what lies between, for the sentences.
    """
    yield from _bytes(pair, limits, since)
    alike = measured_alike(pair.before, pair.after)
    for measure, number in registry.lasting():
        if alike or not measure.asked_by:
            yield from _changed(pair, measure, number, limits, since)


def _changed(
    pair: Pair, measure: Measure, number: Number, limits: Alarms, since: str
) -> Iterator[Alarm]:
    most = _limit(number, limits)
    rows = (pair.before, pair.after)
    before, after = (row.number(measure.name, number.name) for row in rows)
    if number.alarm is None or most is None or before is None or after is None:
        return
    off = abs(after - before)
    if off > most * abs(before) and off > number.alarm.floor:
        then, now = number.shown(before), number.shown(after)
        change = units.percent(after / before - 1, sign=True) if before else "from zero"
        found = (row.numbers.get(measure.name, {}) for row in rows)
        verdict = differences.difference(measure, number, *found)
        said = f"{change}; {verdict}" if verdict else change
        yield Alarm(
            file=pair.after.file,
            what=number.alarm.key,
            message=f"the {number.title} went from {then} to {now} ({said}) since {since}",
            before=then,
            after=now,
            limit=f"{most * 100:g} %",
        )


def _limit(number: Number, limits: Alarms) -> float | None:
    """The largest change that raises no alarm; None where the recipe wants none of it."""
    most: float | None = getattr(limits, number.alarm.key) if number.alarm else None
    return most


def measured_alike(one: FileRow, other: FileRow) -> bool:
    """Whether the recipe measured both in the same way, as far as it is known."""
    return one.measuring == other.measuring or not (one.measuring and other.measuring)


def _bytes(pair: Pair, limits: Alarms, since: str) -> Iterator[Alarm]:
    if limits.bytes is None or not pair.verdict:
        return
    weakest = limits.bytes.replace("-", " ")
    if VERDICTS.index(pair.verdict) > VERDICTS.index(weakest):
        note = f" ({pair.note})" if pair.note else ""
        yield Alarm(
            file=pair.after.file,
            what="bytes",
            message=f"the bytes are {_of(pair.verdict)} those of {since}{note}",
            before=pair.before.sha256,
            after=pair.after.sha256,
            limit=weakest,
        )


def _of(verdict: str) -> str:
    words = {
        "same tensors": "not identical to",
        "near": "near, but not identical to,",
        "different": "different from",
    }
    return words.get(verdict, verdict)


def slower(speeds: Speeds, limits: Alarms) -> Iterator[Alarm]:
    """An alarm when a file's speed on one machine fell, by medians."""
    number, most = speeds.number, _limit(speeds.number, limits)
    recent, earlier = speeds.values[:RECENT], speeds.values[RECENT : RECENT + EARLIER]
    if number.alarm is None or most is None or len(recent) < RECENT or len(earlier) < LEAST:
        return
    now, before = median(recent), median(earlier)
    worse = now > (1 + most) * before if number.better == "lower" else now < (1 - most) * before
    if worse:
        then, told = number.shown(before), number.shown(now)
        yield Alarm(
            file=speeds.file,
            what=number.alarm.key,
            message=f"the {number.title} went from {then} to {told} {number.unit} "
            f"({units.percent(now / before - 1, 1, sign=True)}), by the medians of "
            f"{len(earlier)} and {len(recent)} nights",
            before=then,
            after=told,
            limit=f"{most * 100:g} %",
        )
