"""The one table of the kinds of work: what each is, needs and brings.

No other module compares a kind's name. A new kind is a module in steps/, an entry here and
the line of the planner that adds such a step.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from orchestrator.base.step_values import JSON, Step, Task
from orchestrator.engine import step_budgets
from orchestrator.engine.step_budgets import Budget


class Role(Enum):
    """What the result of a step is to a recipe."""

    TOOL = auto()  # what upstream's programs run in; changes with the tool chain's commit
    SOURCE = auto()  # files from elsewhere
    DESCRIPTION = auto()  # what a source holds, known before its weights are fetched
    PREDICTION = auto()  # what would be made, known before it is
    INTERMEDIATE = auto()  # files between the sources and the outputs
    OUTPUT = auto()  # files that a recipe asks for
    MEASURE = auto()  # numbers, some of them of the machine: no two makings are the same


class Brings(Enum):
    """What a step brings from outside: what a lock pins and provenance calls a dependency."""

    UPSTREAM = auto()  # a commit of the tool chain
    PACKAGES = auto()  # of Python
    FILES = auto()  # of a model or a text


@dataclass(frozen=True)
class Kind:
    """One kind of work.

    Attributes:
        module: Its module in steps/, imported when it is first needed.
        role: What its result is to a recipe.
        version: Raised when its code changes what it writes for the same parameters.
        brings: What it brings from outside, if anything. Provenance lists that among its
            dependencies, and all other steps as work that was done, under the kind's name.
        budget: What a step needs while it runs, from the sizes that are predicted; None
            where the planner's own statement is enough.
        bounded: Its intermediate results are kept up to a size, for they may be wanted again.
        hashed: False for thousands of small files: sizes say enough, and hashing them would
            take longer than using them.
    """

    module: str
    role: Role
    version: int = 1
    brings: Brings | None = None
    budget: Budget | None = None
    bounded: bool = False
    hashed: bool = True

    def run(self, task: Task) -> dict[str, JSON]:
        """Do the work; returns the facts about its result."""
        work: Callable[[Task], dict[str, JSON]]
        work = importlib.import_module(f"orchestrator.steps.{self.module}").run
        return work(task)


KINDS: Mapping[str, Kind] = {
    "build": Kind("build", Role.TOOL, brings=Brings.UPSTREAM),
    "take": Kind("take_tools", Role.TOOL, brings=Brings.UPSTREAM),
    "unpack": Kind("unpack", Role.TOOL),
    "program": Kind("build", Role.TOOL),
    "environment": Kind("environment", Role.TOOL, brings=Brings.PACKAGES, hashed=False),
    "layer": Kind("environment", Role.TOOL, hashed=False),
    "look": Kind("inspect_source", Role.DESCRIPTION),
    "outline": Kind("inspect_model", Role.DESCRIPTION),
    "peek": Kind("read_gguf_header", Role.DESCRIPTION),
    "header": Kind("convert_without_weights", Role.PREDICTION),
    "census": Kind("census", Role.PREDICTION),
    "forecast": Kind("predict_sizes", Role.PREDICTION, version=2),
    "rehearse": Kind("rewrite_header", Role.PREDICTION),
    "explain": Kind("explain_types", Role.PREDICTION),
    "fetch": Kind("fetch", Role.SOURCE, brings=Brings.FILES, budget=step_budgets.fetch),
    "merge": Kind("merge", Role.INTERMEDIATE, budget=step_budgets.merge),
    "mix": Kind("run_mergekit", Role.INTERMEDIATE, budget=step_budgets.merge),
    "convert": Kind("convert", Role.INTERMEDIATE, budget=step_budgets.convert),
    "imatrix": Kind("imatrix", Role.INTERMEDIATE, budget=step_budgets.evaluate),
    "quantize": Kind("quantize", Role.OUTPUT, budget=step_budgets.quantize),
    "rewrite": Kind("rewrite_header", Role.OUTPUT, budget=step_budgets.rewrite),
    "split": Kind("split", Role.OUTPUT),
    "logits": Kind("full_file_logits", Role.INTERMEDIATE, budget=step_budgets.logits, bounded=True),
    "measure": Kind("measure", Role.MEASURE, budget=step_budgets.evaluate),
}


def of(step: Step) -> Kind:
    """The entry of a step's kind."""
    return KINDS[step.kind]


def is_tool(step: Step) -> bool:
    """Whether a step makes what upstream's programs run in."""
    return of(step).role is Role.TOOL


def compiles(step: Step) -> bool:
    """Whether a step builds programs of upstream's source."""
    return of(step).module == "build"


def made_a_tool(manifest: Mapping[str, JSON]) -> bool:
    """Whether a manifest is a tool's; it may be older than this table."""
    known = KINDS.get(str(manifest["kind"]))
    return known is not None and known.role is Role.TOOL


def brought_files(manifest: Mapping[str, JSON]) -> bool:
    """Whether a manifest's files come from elsewhere; it may be older than this table."""
    known = KINDS.get(str(manifest["kind"]))
    return known is not None and known.brings is Brings.FILES


def is_bounded(kind: str) -> bool:
    """Whether results of a kind are kept up to a size; its name may be older than this table."""
    return kind in KINDS and KINDS[kind].bounded


def bringing(steps: Iterable[Step], what: Brings) -> Step | None:
    """The first step that brings this from outside."""
    return next((step for step in steps if of(step).brings is what), None)


def measures(step: Step) -> bool:
    """Whether a step takes numbers of a file."""
    return of(step).role is Role.MEASURE


def tells(step: Step) -> bool:
    """Whether a step's result is small and says what others are made of, or will be."""
    return of(step).role in (Role.DESCRIPTION, Role.PREDICTION)


def is_shared(step: Step) -> bool:
    """Whether a step's result goes to shared caches: dear to make, and of use everywhere.

    Tools are made for the machine's libraries, which their keys do not name; sources have a home
    of their own; and what a run gives back itself as soon as it can is not worth its way.
    """
    return of(step).role not in (Role.TOOL, Role.SOURCE) and step.keep != "intermediate"


def is_dear(step: Step, reader: Step) -> bool:
    """Whether a reader should go to where a result is that is not shared: weights, logits.

    Tools are of use on every machine, and texts that files are measured on are small.
    """
    weights = of(step).role is Role.SOURCE and not measures(reader)
    return weights or step.keep == "intermediate"


def is_description(step: Step) -> bool:
    """Whether a step says what a source holds."""
    return of(step).role is Role.DESCRIPTION
