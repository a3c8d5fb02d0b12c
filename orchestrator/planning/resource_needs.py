"""What a plan costs before it is paid: bytes to fetch, disk over time, memory; pure.

Sizes come from the forecast, which is exact. Without one (no tool chain built yet) they are
estimates and are called so.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.base.step_values import JSON, Step
from orchestrator.engine import retention_policy, step_kinds
from orchestrator.engine.step_budgets import Sizes
from orchestrator.planning.recipe_to_steps import MODEL, Plan


@dataclass(frozen=True)
class Forecast:
    """The sizes of one recipe's files in bytes.

    ``full`` and ``outputs`` map to the forecast step's facts, empty where nothing tells them;
    ``exact`` says whether they are the quantizer's own or estimated from nominal bits per
    weight. ``fetched`` are the bytes of each of the model's sources, by identity.
    """

    full: Mapping[str, JSON]
    outputs: Mapping[str, Mapping[str, JSON]]
    fetched: Sequence[tuple[Mapping[str, JSON], int]] = ()
    exact: bool = True

    @property
    def fetch_bytes(self) -> int:
        """Bytes of all of the model's sources."""
        return sum(size for _, size in self.fetched)


@dataclass(frozen=True)
class Moment:
    """Disk and memory while one step runs, in bytes; ``disk`` is what this plan adds."""

    step: Step
    disk: int
    memory: int


def with_sizes(plan: Plan, forecast: Forecast) -> Plan:
    """The plan with the forecast's sizes as its steps' resources."""
    steps = tuple(_sized(plan, step, forecast) for step in plan.steps)
    return replace(plan, steps=steps)


def _sized(plan: Plan, step: Step, forecast: Forecast) -> Step:
    budget = step_kinds.of(step).budget
    if budget is None:
        return step
    needed = budget(step, _sizes(plan, step, forecast))
    return replace(step, resources=replace(needed, exact=forecast.exact))


def _sizes(plan: Plan, step: Step, forecast: Forecast) -> Sizes:
    return Sizes(
        full=int(forecast.full.get("size", 0)),
        made=_file_size(plan, step.key, forecast),
        read=_file_size(plan, step.inputs.get(MODEL, ""), forecast),
        fetched=_fetched(step, forecast),
        largest_tensor=int(forecast.full.get("largest_tensor", 0)),
        vocabulary=int(forecast.full.get("vocabulary", 0)),
    )


def _file_size(plan: Plan, key: str, forecast: Forecast) -> int:
    """Bytes of the model file that a step makes; 0 where it makes none that is predicted."""
    if key in (plan.full.step, plan.full.base):
        return int(forecast.full.get("size", 0))
    names = [output.name for output in plan.outputs if key in (output.step, output.base)]
    return int(forecast.outputs.get(names[0], {}).get("size", 0)) if names else 0


def _fetched(step: Step, forecast: Forecast) -> int:
    """Bytes that a step brings from elsewhere: the model's; texts are small."""
    source = step.params.get("source")
    told = (size for one, size in forecast.fetched if one == source and one["kind"] != "path")
    return next(told, 0)


def timeline(
    steps: Sequence[Step], hits: Collection[str], keep: str, keep_logits: int = 0
) -> list[Moment]:
    """Disk and memory during each step that is to run, one after the other.

    Args:
        steps: All steps in order.
        hits: Keys of the steps whose artifacts are there already.
        keep: The release policy; what it releases stops counting after its last reader.
        keep_logits: Bytes of saved logits that stay; the first ones beyond it go.
    """
    todo = [step for step in steps if step.key not in hits]
    last_use = {key: index for index, step in enumerate(todo) for key in step.inputs.values()}
    unread: dict[int, list[tuple[int, Step]]] = {}  # by the step after which nobody reads it
    for index, step in enumerate(todo):
        last = max(index, last_use.get(step.key, index))
        unread.setdefault(last, []).append((index, step))
    held = _Held(keep_logits)
    moments = []
    for index, step in enumerate(todo):
        cost = step.resources
        # Of what a tool is made from nothing stays.
        stays = 0 if cost.fetch_bytes and step_kinds.is_tool(step) else cost.fetch_bytes
        held.add(index, cost.disk_bytes + stays)
        moments.append(Moment(step, held.total + cost.scratch_bytes, cost.memory_bytes))
        for place, other in unread.get(index, ()):
            if retention_policy.goes(other, keep):
                held.drop(place)
            elif retention_policy.stays_within_limit(other, keep):
                held.bound(place)
    return moments


class _Held:
    """Bytes of what steps made, by their places, and their sum; ``limit`` is for some of them."""

    def __init__(self, limit: int) -> None:
        self.total, self._limit = 0, limit
        self._sizes: dict[int, int] = {}
        self._bounded: list[int] = []
        self._bounded_total = 0

    def add(self, place: int, size: int) -> None:
        self._sizes[place] = size
        self.total += size

    def drop(self, place: int) -> int:
        """Give back what one step made; its bytes."""
        size = self._sizes.pop(place)
        self.total -= size
        return size

    def bound(self, place: int) -> None:
        """Count this one towards the limit, and give back the first ones beyond it."""
        insort(self._bounded, place)
        self._bounded_total += self._sizes[place]
        while self._bounded and self._bounded_total > self._limit:
            self._bounded_total -= self.drop(self._bounded.pop(0))
