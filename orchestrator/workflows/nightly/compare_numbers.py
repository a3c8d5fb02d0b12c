"""What changed since the last good night, held against a recipe's alarms; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

from orchestrator.base import units
from orchestrator.history import Alarm, FileRow
from orchestrator.recipe.verify_section import Alarms

# Verdicts of orchestrator.modelfiles.comparing from the nearest on.
VERDICTS = ("identical", "same tensors", "near", "different")
# Divergences are printed to the sixth digit, and a tenth of next to nothing is nothing.
KLD_FLOOR = 0.0005
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
    """Tokens per second of one file on one machine, the newest night first."""

    file: str
    what: str
    values: tuple[float, ...]


def changes(pair: Pair, limits: Alarms, since: str) -> Iterator[Alarm]:
    """The alarms of one file.

    Args:
        pair: The file then and now.
        limits: The recipe's alarms.
        since: What the last good night was and what lies between, for the sentences.
    """
    yield from _bytes(pair, limits, since)
    measured = (
        ("perplexity", pair.before.perplexity, pair.after.perplexity, limits.perplexity, 0.0),
        ("kld", pair.before.kld, pair.after.kld, limits.kld, KLD_FLOOR),
        ("size", float(pair.before.size), float(pair.after.size), limits.size, 0.0),
    )
    alike = measured_alike(pair.before, pair.after)
    for what, before, after, most, floor in measured:
        if before is None or after is None or most is None:
            continue
        if what != "size" and not alike:
            continue
        off = abs(after - before)
        if off > most * abs(before) and off > floor:
            alarm = _number(what, before, after)
            yield replace(
                alarm,
                file=pair.after.file,
                limit=f"{most * 100:g} %",
                message=f"{alarm.message} since {since}",
            )


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


def _number(what: str, before: float, after: float) -> Alarm:
    words = {"perplexity": "the perplexity", "kld": "the mean divergence", "size": "the size"}
    change = units.percent(after / before - 1, sign=True) if before else "from zero"
    then, now = _shown(what, before), _shown(what, after)
    message = f"{words[what]} went from {then} to {now} ({change})"
    return Alarm("", what, message, then, now)


def _shown(what: str, value: float) -> str:
    if what == "size":
        return units.size(value)
    return f"{value:.4f}" if what == "perplexity" else f"{value:.6f}"


def slower(speeds: Speeds, limits: Alarms) -> Iterator[Alarm]:
    """An alarm when a file's speed on one machine fell, by medians."""
    recent, earlier = speeds.values[:RECENT], speeds.values[RECENT : RECENT + EARLIER]
    if limits.speed is None or len(recent) < RECENT or len(earlier) < LEAST:
        return
    now, before = median(recent), median(earlier)
    if now < (1 - limits.speed) * before:
        change = units.percent(now / before - 1, 1, sign=True)
        yield Alarm(
            file=speeds.file,
            what="speed",
            message=f"{speeds.what} fell from {before:.1f} to {now:.1f} tokens per second "
            f"({change}), by the medians of {len(earlier)} and {len(recent)} nights",
            before=f"{before:.1f}",
            after=f"{now:.1f}",
            limit=f"{limits.speed * 100:g} %",
        )
