"""Steps of a plan as they are collected, each under the key of all that can change its bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from orchestrator.base import digest
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON, Step
from orchestrator.engine.step_kinds import KINDS
from orchestrator.planning.plan import Choices, Sources
from orchestrator.recipe.models import Recipe
from orchestrator.toolchain.load import ToolChain


class StepCollector:
    """Collects steps in the order in which they are added, equal ones once."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._steps = {step.key: step for step in steps}

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps so far; each comes after its inputs."""
        return tuple(self._steps.values())

    def step(self, key: str) -> Step:
        """The step with this key."""
        return self._steps[key]

    def add(
        self,
        kind: str,
        label: str,
        params: Mapping[str, JSON],
        inputs: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> str:
        """Add a step and return its key; ``rest`` is what cannot change the step's bytes."""
        inputs = dict(inputs or {})
        identity = {
            "kind": kind,
            "version": KINDS[kind].version,
            "params": params,
            "inputs": inputs,
        }
        key = digest.key(identity)
        if key not in self._steps:
            step = Step(kind, label, key, params, inputs, **rest)
            if params.get("runtime", {}).get("gpu_layers"):
                step = replace(step, resources=replace(step.resources, gpu=True))
            self._steps[key] = step
        return key


@dataclass(frozen=True)
class Basis:
    """What all steps of one plan are made from, and where they are collected.

    ``tools`` are the keys of the tool chain's build and environment by the names that steps
    use; ``reader`` collects and gives those of the pinned commit; ``gate`` are those of the
    steps that must be done before any weight is fetched; ``file`` is what model files are
    called in the store, where no name may tell one from another; ``parts`` are the keys of the
    steps that make parts of the model beside the text model, by the parts' names.
    """

    recipe: Recipe
    chain: ToolChain
    sources: Sources
    choices: Choices
    collector: StepCollector
    file: str
    tools: Mapping[str, str]
    reader: Callable[[], Mapping[str, str]]
    gate: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def converting(self) -> dict[str, Any]:
        """The options of converting the text model: the recipe's, and what keeps parts out of it.

        Raises:
            UsageError: The tool chain makes no such parts, or the recipe says it twice.
        """
        given = self.recipe.convert.options
        apart = {self.chain.verb(part).left_out_by: part for part in self.recipe.parts_apart}
        for option in given.keys() & apart.keys():
            raise UsageError(
                f"{self.recipe.name}: 'convert.{option}' and {apart[option]!r} say the same",
                f"Leave {option!r} out of 'convert'.",
            )
        return {**given, **dict.fromkeys(apart, True), **self.layout}

    @property
    def layout(self) -> dict[str, Any]:
        """The options of converting that read the layout of the model's files."""
        return of_layout(self.chain, self.sources)

    @property
    def built(self) -> dict[str, str]:
        """The build alone, for steps that need no Python of the tool chain's."""
        return {"toolchain": self.tools["toolchain"]}

    @property
    def reads_quantizable(self) -> bool:
        """Whether the model comes as one file that can be quantized, or is already."""
        return self.sources.model is not None and self.sources.model.format in ("gguf", "ggml")

    @property
    def given_imatrix(self) -> bool:
        """Whether the importance matrix is a file that others made."""
        return "imatrix" in self.sources.corpora

    @property
    def runtime(self) -> dict[str, JSON]:
        """What the recipe says of how its model runs, as a parameter; nothing if it does not."""
        stated = self.recipe.runtime.model_dump(mode="json", exclude_none=True)
        return {"runtime": stated} if stated else {}


def of_layout(chain: ToolChain, sources: Sources) -> dict[str, Any]:
    """The converter's options for the layout that the model's files are in."""
    if sources.model is None or "convert" not in chain.verbs:
        return {}
    options = chain.verbs["convert"].options.items()
    return {name: True for name, one in options if one.layout == sources.model.format}


def verbs(
    chain: ToolChain, *names: str, options: Collection[str] = (), unnamed: bool = False
) -> tuple[dict[str, JSON], dict[str, JSON]]:
    """Identity and data of the verbs that a tool chain has, for params and context.

    ``options`` are those of the verbs that the recipe gives; ``unnamed`` is whether a converter
    finds the model's name itself.
    """
    found = {
        name: _verb(_Same(chain), name, frozenset(options), unnamed)
        for name in names
        if name in chain.verbs
    }
    identity: dict[str, JSON] = {name: one[0] for name, one in found.items()}
    data = {name: one[1] for name, one in found.items()}
    return identity, {"verbs": data, "data": str(chain.folder)}


class _Same:
    """A tool chain that is equal to itself alone: comparing all of its data would take longer."""

    def __init__(self, chain: ToolChain) -> None:
        self.chain = chain

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.chain is self.chain

    def __hash__(self) -> int:
        return id(self.chain)


@lru_cache(maxsize=256)
def _verb(
    same: _Same, name: str, options: frozenset[str], unnamed: bool
) -> tuple[dict[str, JSON], JSON]:
    """Identity and data of one verb, for all steps of all recipes that call it so."""
    chain = same.chain
    called = chain.all_verbs.added_to(chain.verbs[name].with_options(options, unnamed))
    return chain.verb_identity(name, options, unnamed), called.model_dump(mode="json")
