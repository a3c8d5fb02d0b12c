"""What is given back once its last reader is done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from orchestrator.base.step_values import Step
from orchestrator.engine import artifact, step_kinds
from orchestrator.engine.artifact_store import Store

# What each --keep releases as soon as its last consumer is done.
RELEASED: Mapping[str, frozenset[str]] = {
    "all": frozenset(),
    "f16": frozenset({"intermediate"}),
    "final": frozenset({"intermediate", "f16"}),
}
_BOUNDED = "f16"  # keeps the newest of what is bounded


def goes(step: Step, keep: str) -> bool:
    """Whether a policy gives back what a step made, as soon as nobody waits for it."""
    return step.keep in RELEASED[keep] and not stays_within_limit(step, keep)


def stays_within_limit(step: Step, keep: str) -> bool:
    """Whether what a step made is given back only beyond the limit of its kind."""
    return step.keep in RELEASED[keep] and keep == _BOUNDED and step_kinds.is_bounded(step.kind)


def release(
    store: Store, steps: Iterable[Step], keep: str, limit: int, awaited: Collection[str] = ()
) -> None:
    """Remove the artifacts of steps that the policy does not keep.

    Args:
        store: Where they are.
        steps: Those that nobody waits for.
        keep: The policy.
        limit: Bytes that saved logits may take together; the least recently used go.
        awaited: Keys of artifacts that somebody still waits for.
    """
    steps = list(steps)
    for step in steps:
        if goes(step, keep):
            store.release(step.key)
    if any(stays_within_limit(step, keep) for step in steps):
        _trim(store, limit, awaited)


def _trim(store: Store, limit: int, awaited: Collection[str]) -> None:
    # Those without a size in bytes hold a few numbers and no logits.
    found = (one for one in store.artifacts() if step_kinds.is_bounded(one.kind))
    saved = [one for one in found if "bytes" in one.facts]
    saved.sort(key=lambda one: artifact.last_used(one.path.parent), reverse=True)
    total = 0
    for one in saved:
        total += one.size
        if total > limit and one.key not in awaited:
            total -= one.size
            store.release(one.key)
