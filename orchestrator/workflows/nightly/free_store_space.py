"""Disk for a night: what is not needed goes, the least recently used first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.base import units
from orchestrator.base.errors import EnvironmentProblem, OrchestrateError
from orchestrator.engine.artifact_store import Artifact, Store
from orchestrator.history import History
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs import preflight
from orchestrator.runs.preflight import Preview
from orchestrator.runs.session import Session
from orchestrator.workflows.nightly import compare_with_last_good

# How many runs of a recipe are looked at for one that was begun.
_LOOK_BACK = 50


def needed(
    plans: Sequence[Plan], history: History, unplanned: Sequence[str] = ()
) -> frozenset[str]:
    """Keys of artifacts that this night needs: its own, and files to compare with.

    Args:
        plans: The plans of tonight.
        history: Has the last good nights.
        unplanned: Names of recipes that nobody could plan tonight: what their last runs
            made or found is kept for another night.
    """
    own = {step.key for one in plans for step in one.steps}
    for name in unplanned:
        steps = (history.steps(run.id) for run in history.runs(name, limit=_LOOK_BACK))
        own |= {step.key for step in next(filter(None, steps), ())}
    names = [one.recipe.name for one in plans]
    runs = (history.good_runs(name, limit=compare_with_last_good.GOOD_RUNS) for name in names)
    earlier = {
        row.step
        for some in runs
        for _, row in compare_with_last_good.baseline(some, history).values()
        if not row.full  # compared only where the quantized ones differ
    }
    return frozenset({*own, *earlier} - {""})


class StoreLimit:
    """Keeps the store below a size, and says which plans do not fit; a ``finish.Fit``.

    Args:
        session: What all commands share.
        out: The folder of outputs.
        limit: Bytes that the store may take, or None.
        protected: Keys that are not collected.
    """

    def __init__(
        self, session: Session, out: Path, limit: int | None, protected: frozenset[str]
    ) -> None:
        self._session, self._out = session, out
        self._limit, self._protected = limit, protected
        self.collected: list[Artifact] = []

    def __call__(self, previews: Sequence[Preview]) -> Mapping[int, OrchestrateError]:
        """Make room for as many as possible, in their order; why others have none."""
        kept_bytes = self._protected_bytes() if self._limit is not None else 0
        kept: list[Preview] = []
        refused: dict[int, OrchestrateError] = {}
        # All at once first, then halves: a look at many plans costs little more than at one.
        waiting = [range(len(previews))] if previews else []
        while waiting:
            places = waiting.pop()
            some = [previews[place] for place in places]
            error = self._obstacle([*kept, *some], some[-1], kept_bytes)
            if error is None:
                kept += some
            elif len(places) == 1:
                refused[places[0]] = error
            else:
                half = len(places) // 2
                waiting += [places[half:], places[:half]]
        return refused

    def _obstacle(
        self, previews: Sequence[Preview], last: Preview, kept_bytes: int
    ) -> EnvironmentProblem | None:
        """Why there is no room for these together, after room was made."""
        try:
            peak = self._peak(previews) if self._limit is not None else 0
            self._check(last, peak, kept_bytes)
            self._collect(peak)
            preflight.check_room(previews, self._session, self._out)
        except EnvironmentProblem as error:
            return error
        return None

    def protect(self, plans: Sequence[Plan]) -> None:
        """Collect nothing of what these need either."""
        self._protected |= {step.key for one in plans for step in one.steps}

    def tidy(self) -> int:
        """Collect once more at the end; the bytes of all artifacts that are left."""
        self._collect(0)
        return sum(one.size for one in self._session.store.artifacts())

    def _protected_bytes(self) -> int:
        store: Store = self._session.store
        return sum(one.size for one in store.artifacts() if one.key in self._protected)

    def _peak(self, previews: Sequence[Preview]) -> int:
        times = preflight.moments(previews, self._session)
        return max((moment.disk for moment in times), default=0)

    def _check(self, one: Preview, peak: int, kept_bytes: int) -> None:
        if self._limit is None or peak + kept_bytes <= self._limit:
            return
        limit, kept = units.size(self._limit), units.size(kept_bytes)
        if peak:
            why = (
                f"{units.size(peak)} more would take the store beyond --max-store {limit} "
                f"({kept} in it are needed tonight)"
            )
        else:
            why = f"{kept} in the store are needed tonight, more than --max-store {limit}"
        raise EnvironmentProblem(
            f"{one.plan.recipe.name}: {why}",
            "Raise --max-store, choose fewer recipes with --select, or use --keep final.",
        )

    def _collect(self, peak: int) -> None:
        if self._limit is not None:
            most = max(0, self._limit - peak)
            self.collected += self._session.store.gc(max_bytes=most, protect=self._protected)
