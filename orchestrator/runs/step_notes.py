"""What steps found worth saying though they did their work: warnings for the report; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from orchestrator.base.step_values import JSON, Step
from orchestrator.runs.report import Warned


def of(steps: Iterable[Step], manifests: Mapping[str, Mapping[str, JSON]]) -> tuple[Warned, ...]:
    """The ``notes`` among the facts of a plan's steps, in their order, each once."""
    told: dict[str, Warned] = {}
    for warned in _all(steps, manifests):
        told.setdefault(warned.message, warned)
    return tuple(told.values())


def _all(steps: Iterable[Step], manifests: Mapping[str, Mapping[str, JSON]]) -> Iterator[Warned]:
    for step in steps:
        facts = manifests[step.key]["facts"] if step.key in manifests else {}
        for note in facts.get("notes", ()):
            # Artifacts of before hold sentences alone.
            said: Mapping[str, JSON] = {"message": note} if isinstance(note, str) else note
            yield Warned(step.label, str(said["message"]), said.get("numbers", {}))
