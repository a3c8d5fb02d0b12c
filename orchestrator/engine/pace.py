"""How far a run is: which of its steps, and about how long the others take."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from orchestrator.base.step_values import Activity, Ended

Durations = Mapping[str, float]
_LEAST_STEPS = 2
_HOUR = 60


def nothing_known() -> Durations:
    """For runs whose earlier ones are not asked."""
    return {}


class Pace:
    """Counts the steps of a run against those that were planned; from one thread.

    Args:
        durations: Gives seconds by a step's label, as it took the last time; asked when there
            is work, so that a run without any costs nothing.
    """

    def __init__(self, durations: Callable[[], Durations] = nothing_known) -> None:
        self._durations = durations
        self._left: dict[str, float | None] = {}
        self.total = 0

    @property
    def ended(self) -> int:
        """Steps that are over."""
        return self.total - len(self._left)

    def begin(self, steps: Sequence[Activity]) -> None:
        """These are about to be done."""
        counted = steps if len(steps) >= _LEAST_STEPS else ()
        self.total = len(counted)
        self._left = dict(zip((step.key for step in counted), self._expected(counted), strict=True))

    def end(self, result: Ended) -> str:
        """One is over: its place among all, such as ``7 of 20``; empty for what was not planned."""
        if result.step.key not in self._left:
            return ""
        del self._left[result.step.key]
        return f"{self.ended} of {self.total}"

    def remaining(self) -> str:
        """About how long the rest takes, such as ``about 5 min``; empty where nobody knows.

        Steps that run side by side are counted one after the other.
        """
        known = [seconds for seconds in self._left.values() if seconds is not None]
        if not known or len(known) < len(self._left):
            return ""
        minutes = math.ceil(sum(known) / 60)
        if minutes < _HOUR:
            return "under a minute" if minutes <= 1 else f"about {minutes} min"
        return f"about {minutes // _HOUR} h {minutes % _HOUR:02} min"

    def _expected(self, steps: Sequence[Activity]) -> Iterable[float | None]:
        """What each takes: as the last time; where it was never done, as its kind does."""
        durations = self._durations() if steps else {}
        known = {step.key: durations.get(step.label) for step in steps}
        kinds: dict[str, list[float]] = {}
        for step in steps:
            seconds = known[step.key]
            if seconds is not None:
                kinds.setdefault(step.kind, []).append(seconds)
        medians = {kind: statistics.median(found) for kind, found in kinds.items()}
        for step in steps:
            seconds = known[step.key]
            yield medians.get(step.kind) if seconds is None else seconds
