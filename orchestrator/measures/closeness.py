"""How near a file is to the unquantized model, in words that follow from stated thresholds; pure.

The thresholds and where they come from are in docs/reference/card-words.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.measures import differences, registry
from orchestrator.measures.file_numbers import Numbered


@dataclass(frozen=True)
class Grade:
    """Words, and what a file must keep for them.

    ``mean_kld`` (nats a token) and ``increase`` (of the perplexity, a share) are the most,
    ``same_top`` (a share), ``agreement`` (of orders of texts, for encoders) and ``bits`` a weight
    the least.
    """

    words: str
    mean_kld: float
    same_top: float
    increase: float
    agreement: float
    bits: float


GRADES = (
    Grade("as good as the unquantized model", 0.002, 0.97, 0.005, 0.995, 7.5),
    Grade("very near the unquantized model", 0.02, 0.93, 0.02, 0.98, 5.4),
    Grade("good for most uses", 0.1, 0.85, 0.08, 0.95, 4.2),
    Grade("noticeably worse; where memory is short", 0.3, 0.75, 0.3, 0.9, 3.2),
)
LAST = "much worse; only where nothing larger fits"
# Files whose sizes are this share apart count as of one size.
SAME_SIZE = 0.01
_GOOD = 2  # the place of the last grade that is good for most uses
# What most people take, and the bits of such files.
_USUAL, _USUAL_BITS = "Q4_K_M", (4.0, 5.0)


def good(row: Numbered) -> bool:
    """Whether a file is at least good for most uses."""
    return _place(row) <= _GOOD


def recommended(rows: Sequence[Numbered]) -> Numbered:
    """The file for those who do not want to choose.

    Of those that are good and that none beats: the usual type, else the one of four to five bits
    with the least divergence for its size. Without such bits or numbers, the one next to them.
    """

    def rank(row: Numbered) -> tuple[int, bool]:
        return max(_place(row) - _GOOD, 0), beaten_by(row, rows) is not None

    def cost(row: Numbered) -> tuple[float, float]:
        found = row.number("kld", "mean")
        least, most = _USUAL_BITS
        bits = row.bits_per_weight
        return (
            found * row.size if found is not None and least <= bits <= most else math.inf,
            abs(bits - most),
        )

    best = min(map(rank, rows))
    sound = [row for row in rows if rank(row) == best]
    return min([row for row in sound if row.type.startswith(_USUAL)] or sound, key=cost)


def words(row: Numbered, rows: Sequence[Numbered], full: str = "the unquantized model") -> str:
    """What a file is good for, beside others of the same model; ``full`` is what it is near to."""
    other = beaten_by(row, rows)
    if other is not None:
        smaller = other.size < row.size * (1 - SAME_SIZE)
        return f"{other.type} is better {'and smaller' if smaller else 'at this size'}"
    place = _place(row)
    if place == len(GRADES):
        return LAST
    found = GRADES[place].words.replace("the unquantized model", full)
    if compared(row):
        return found
    first, mark, rest = found.partition(";")
    return f"{first}, as a rule{mark}{rest}"


def beaten_by(row: Numbered, rows: Sequence[Numbered]) -> Numbered | None:
    """A file that is better beyond the errors, worse in nothing, and not larger."""
    fitting = (one for one in rows if one is not row and one.size <= row.size * (1 + SAME_SIZE))
    return next((one for one in fitting if _better(row, one)), None)


def _better(row: Numbered, other: Numbered) -> bool:
    found = {
        differences.difference(
            measure,
            number,
            row.numbers.get(measure.name, {}),
            other.numbers.get(measure.name, {}),
        )
        for measure, number in registry.quality()
    }
    return "better" in found and "worse" not in found


def _place(row: Numbered) -> int:
    """The place of a file's grade; that after the last for none of them.

    Divergence, same top and increase must all be kept. Where none of that was measured, nor an
    agreement, the bits decide, or the increase of the perplexity if that is worse.
    """
    bits = not compared(row)
    kept = (_kept(row, grade, bits=bits) for grade in GRADES)
    return next((place for place, one in enumerate(kept) if one), len(GRADES))


def compared(row: Numbered) -> bool:
    """Whether what it says was compared with the full file's, token by token or text by text."""
    found = (row.number("kld", "mean"), row.number("embedding", "rank_agreement"))
    return any(one is not None for one in found)


def _kept(row: Numbered, grade: Grade, *, bits: bool) -> bool:
    if bits and row.bits_per_weight < grade.bits:
        return False
    return all(
        value <= most
        for most, value in (
            (grade.mean_kld, _at_worst(row, "kld", "mean")),
            (1 - grade.same_top, _at_worst(row, "kld", "same_top")),
            (grade.increase, _at_worst(row, "perplexity", "increase")),
            (1 - grade.agreement, _at_worst(row, "embedding", "rank_agreement")),
        )
        if value is not None
    )


def _at_worst(row: Numbered, measure: str, name: str) -> float | None:
    """A number at the worse end of what its error leaves open; shares from 1 downwards."""
    of = registry.named(measure)
    number, value = of.number(name), row.number(measure, name)
    if value is None:
        return None
    error = differences.error_of(number, row.numbers[measure]) or 0.0
    lost = value if number.better == "lower" else 1 - value
    return lost + differences.ERRORS * error


def thresholds() -> Iterator[tuple[str, ...]]:
    """The grades as lines of a table."""
    for one in GRADES:
        yield (
            one.words,
            f"{one.mean_kld:g}",
            f"{one.same_top * 100:g} %",
            f"{one.increase * 100:g} %",
            f"{one.agreement:g}",
            f"{one.bits:g}",
        )
    yield (LAST, "", "", "", "", "")
