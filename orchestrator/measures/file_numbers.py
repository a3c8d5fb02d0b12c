"""The numbers of one file: by measure and name, by their keys, and as rows of a table; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from orchestrator.base.step_values import JSON
from orchestrator.measures import further_texts, registry
from orchestrator.measures.definition import Numbers

ByMeasure = Mapping[str, Numbers]
# Measure, number, value, and its standard error where it has one.
NumberRow = tuple[str, str, float, float | None]


class Numbered:
    """What has the numbers of a file, by measure and name; ``type`` is what it is called."""

    type: str
    numbers: ByMeasure

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return int(self.number("header", "size") or 0)

    @property
    def bits_per_weight(self) -> float:
        """Bits of the tensors over their elements; 0 where that is not known."""
        return self.number("header", "bits_per_weight") or 0.0

    def number(self, measure: str, name: str) -> float | None:
        """One number; None where it is not known."""
        return self.numbers.get(measure, {}).get(name)

    def value(self, key: str) -> float | None:
        """The number of this key in reports, such as ``size``."""
        return next(
            (self.number(one.name, number.name) for one, number in keyed() if number.key == key),
            None,
        )

    def by_key(self) -> dict[str, JSON]:
        """All numbers that have a key of their own, by that."""
        return {number.key: self.number(one.name, number.name) for one, number in keyed()}


def keyed() -> list[registry.NumberOf]:
    """Numbers that have a key of their own in reports."""
    return [(one, number) for one, number in registry.numbers() if number.key]


def error_names() -> dict[tuple[str, str], str]:
    """What the error of each number is called; empty for those without one."""
    return {(one.name, number.name): number.error for one, number in registry.numbers()}


def rows(found: ByMeasure) -> Iterator[NumberRow]:
    """The numbers that are known, each with its error beside it."""
    errors = error_names()
    beside = {(measure, error) for (measure, _), error in errors.items() if error}
    for measure, numbers in found.items():
        on_first, _ = further_texts.split(measure)
        for name, value in numbers.items():
            if value is not None and (on_first, name) not in beside:
                yield measure, name, value, numbers.get(errors.get((on_first, name), ""))


def joined(told: Iterable[NumberRow], errors: Mapping[tuple[str, str], str]) -> ByMeasure:
    """The same from their rows; what this version does not know is kept under its own name.

    ``errors`` are from :func:`error_names`, made once for many files.
    """
    found: dict[str, dict[str, float | int | None]] = {}
    for measure, name, value, error in told:
        numbers = found.setdefault(measure, {})
        numbers[name] = value
        if error is not None:
            on_first, _ = further_texts.split(measure)
            numbers[errors.get((on_first, name)) or f"{name}_error"] = error
    return found
