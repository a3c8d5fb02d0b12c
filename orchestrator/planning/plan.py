"""What a plan is: its sources, steps and outputs, as frozen values; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base.step_values import Step
from orchestrator.planning.resolved_source import Resolved
from orchestrator.recipe.models import Quant, Recipe
from orchestrator.toolchain.load import ToolChain

MODEL = "model"
# What it means that a commit lacks a verb.
_MEANS = {
    "plan_quantize": "no exact sizes before converting",
    "imatrix": "no importance matrices",
    "extend_imatrix": "no importance matrices of several texts",
    "divergence": "no divergence from the full file",
    "split": "no files in parts",
    "import_ggml": "no GGML files as models",
    "complete_python": "no smoke test in Python",
}


@dataclass(frozen=True)
class Sources:
    """The resolved sources of one recipe; ``commit`` is the tool chain's.

    ``adapters`` are merged into the base in their order: adapters, or models of its shapes.
    """

    commit: str
    model: Resolved | None = None
    base: Resolved | None = None
    delta: Resolved | None = None
    adapters: Mapping[str, Resolved] = field(default_factory=dict)
    corpora: Mapping[str, Resolved] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, Resolved]:
        """All sources by the names that locks give them."""
        given = {"model": self.model, "base": self.base, "delta": self.delta}
        named = {name: one for name, one in given.items() if one is not None}
        return {**named, **self.adapters, **self.corpora}

    @property
    def unpinned(self) -> dict[str, str]:
        """Moving references by what they stand for."""
        return {name: one.unpinned for name, one in self.named.items() if one.unpinned}

    @property
    def shaped(self) -> Resolved | None:
        """The source whose files say what the model holds: an adapter adds nothing to that."""
        return self.base if self.adapters else self.model

    @property
    def dataset(self) -> str:
        """The name of the calibration text, which the quantizer writes into the file."""
        corpus = self.corpora.get("calibration")
        return corpus.file_name if corpus is not None else ""


@dataclass(frozen=True)
class Output:
    """One file that a recipe makes.

    ``step`` is the key of the step that makes ``file``; ``measures`` the keys of those that
    measure it, by the names of measures; ``lacking`` are measures that the recipe asks for and
    that the tool chain cannot take. ``quant`` is None for the converted file itself, and for a
    ``part`` of the model beside the text model, such as mmproj. ``base`` is the key of the step
    that makes the file before its header is changed, empty where it is not.
    """

    name: str
    file: str
    artifact_file: str
    step: str
    measures: Mapping[str, str] = field(default_factory=dict)
    quant: Quant | None = None
    lacking: frozenset[str] = frozenset()
    part: str = ""
    base: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything one recipe needs: its steps in order, its outputs, what predicts them.

    ``forecast`` and ``census`` are keys of steps, or empty where the tool chain has no such verb;
    ``parts`` are those of the steps that make parts of the model, by name, and ``part_headers``
    those that tell their sizes; ``rehearsal`` is that of trying the changes of headers, if any.
    """

    recipe: Recipe
    chain: ToolChain
    sources: Sources
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    full: Output
    forecast: str = ""
    census: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    part_headers: Mapping[str, str] = field(default_factory=dict)
    rehearsal: str = ""

    def step(self, key: str) -> Step:
        """The step with this key."""
        return next(step for step in self.steps if step.key == key)

    @property
    def untried(self) -> str:
        """A sentence when nobody knows whether the tool chain's data holds for its commit."""
        source, commit, held = self.chain.source, self.sources.commit, self.chain.held
        if commit == source.commit or commit in (one.commit for one in source.tried):
            return ""
        what = f"{self.chain.name} {commit[:12]} was not tried with this data"
        if held is None:
            return f"{what} (pinned: {source.commit[:12]}); that of the pinned commit is used."
        return f"{what}, of which these variants hold: {', '.join(held) or 'none'}."

    @property
    def unable(self) -> str:
        """A sentence about what cannot be known or done with a commit before the pinned one."""
        pinned = self.chain.pinned
        gone = pinned.verbs.keys() - self.chain.verbs.keys() if pinned else set()
        absent = dict(self.chain.tools.missing) if self.chain.tools else {}
        lost = [text for verb, text in _MEANS.items() if verb in gone | absent.keys()]
        missing = sorted({*absent.values()} & {*self.chain.build.targets})
        lost += [f"no {name} among the tools" for name in missing]
        name = f"{self.chain.name} {self.sources.commit[:12]}"
        return f"{name}: {', '.join(lost)}." if lost else ""

    @property
    def targets(self) -> tuple[str, ...]:
        """Keys of the steps whose results the user asked for."""
        wanted = [
            key for output in self.outputs for key in (output.step, *output.measures.values())
        ]
        return tuple(dict.fromkeys((*wanted, *self.full.measures.values())))


@dataclass(frozen=True)
class Choices:
    """What the command line adds to a recipe.

    ``stand_in`` says that miniatures take the place of real weights: matrices of one value,
    as padding layers have them, are then no damage. It is no part of any key. ``tools`` is a
    folder or an archive of tools in place of a build; ``prebuilt`` asks for upstream's own.
    """

    only: tuple[str, ...] = ()
    profile: str = ""
    backend: str = ""
    verify: bool = True
    machine: str = ""
    platform: str = "linux"
    stand_in: bool = False
    tools: Path | None = None
    prebuilt: bool = False


def union(plans: Iterable[Plan]) -> tuple[Step, ...]:
    """The steps of several plans, shared ones once."""
    merged: dict[str, Step] = {}
    for plan in plans:
        for step in plan.steps:
            merged.setdefault(step.key, step)
    return tuple(merged.values())
