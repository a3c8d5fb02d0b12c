"""How a run and workers with stores of their own exchange what they make: by a shared cache."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.base.step_values import Resources, Step, StepResult
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.shared_cache import terms
from orchestrator.engine.shared_cache.places import Remote
from orchestrator.engine.shared_cache.shared_cache import SharedCache


@dataclass
class Exchange:
    """The run's side of it.

    Attributes:
        id: The cache's.
        remote: That cache alone.
        store: The run's.
    """

    id: str
    remote: Remote
    store: Store
    steps: Mapping[str, Step] = field(default_factory=dict)
    targets: Collection[str] = ()
    made_in: dict[str, str] = field(default_factory=dict)

    def begin(
        self, work: Mapping[str, Step], steps: Mapping[str, Step], targets: Collection[str]
    ) -> None:
        """Know what a run is about.

        Raises:
            UsageError: The cache must not have what the work makes.
        """
        self.steps, self.targets = steps, targets
        self._cache = SharedCache(self.remote, self.store.warn, required=True)
        for step in filter(step_kinds.is_shared, work.values()):
            if why := terms.objection(step, self.remote.places[0]):
                raise UsageError(
                    f"the shared cache {self.remote.places[0].shown}, by which workers with stores "
                    f"of their own work, must not have the result of '{step.label}': {why}",
                    "Mark it '#private' if all who read it may have that.",
                )

    def send(self, work: Mapping[str, Step]) -> None:
        """Send what the work reads and only this machine has.

        Raises:
            PlaceProblem: The cache does not answer, or refuses.
        """
        read = {key for step in work.values() for key in step.inputs.values()} - work.keys()
        for step in (self.steps[key] for key in sorted(read & self.steps.keys())):
            if step_kinds.is_shared(step):
                with self.store.hold([step.key]):
                    made = self.store.find(step.key)
                    if made is not None:
                        self._cache.push(step, made)

    def arrived(self, result: StepResult) -> StepResult:
        """A worker's result: brought here if it was asked for, else left where it is.

        Raises:
            EnvironmentProblem: The cache does not give it.
        """
        step = result.step
        self.made_in[step.key] = result.store
        found = self.store.find(step.key)
        if found is None and step.key in self.targets:
            found = self._cache.bring(step.key, self.store)
            if found is None:
                raise EnvironmentProblem(
                    f"{step.label}: a worker made it, but {self.remote.places[0].shown} "
                    "does not give it",
                    "Run again: what is missing or changed there is made again.",
                )
        return replace(result, path=found.path if found else None)

    def sized(self, step: Step) -> Step:
        """A step that needs what the making of its inputs needs, where they are kept back."""
        along = [step, *self._kept_back(step)]
        most = {
            one.name: max(getattr(each.resources, one.name) for each in along)
            for one in fields(Resources)
        }
        return replace(step, resources=Resources(**{**most, "alone": step.resources.alone}))

    def _kept_back(self, step: Step) -> Iterable[Step]:
        for key in step.inputs.values():
            one = self.steps.get(key)
            if one is not None and not step_kinds.is_shared(one):
                yield one
                yield from self._kept_back(one)

    def stores(self, step: Step) -> set[str]:
        """The ids of the stores that hold what is kept back and dear among what a step reads."""
        return {
            self.made_in[key]
            for key in step.inputs.values()
            if key in self.made_in and step_kinds.is_dear(self.steps[key], step)
        }
