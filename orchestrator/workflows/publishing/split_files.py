"""Files that are too large for one piece, split by the tool chain and kept in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import EnvironmentProblem, StepError, UsageError
from orchestrator.base.step_values import Outcome, Resources, Step
from orchestrator.engine import progress_listeners
from orchestrator.planning.plan import MODEL, Output, Plan
from orchestrator.planning.step_collector import StepCollector, verbs
from orchestrator.runs.session import Session

# The Hub takes files of 500 GB and asks for less than 200 GB
# (https://huggingface.co/docs/hub/storage-limits). The margin is for what a part's header may
# have more than the whole file's. Not every program takes files in parts: so as few as can be.
HUB_LIMIT = 500_000_000_000
DEFAULT_LIMIT = 200_000_000_000 - 500_000_000


@dataclass(frozen=True)
class Part:
    """One part of a split file, in the store."""

    path: Path
    size: int
    sha256: str


def step(plan: Plan, output: Output, stem: str, size: int, limit: int) -> Step:
    """The step that splits one output into parts of at most ``limit`` bytes.

    Raises:
        UsageError: The tool chain cannot split.
    """
    chain = plan.chain
    if "split" not in chain.verbs:
        raise UsageError(
            f"{output.file} is larger than a part may be, and {chain.name} cannot split files",
            "Choose a larger --max-file, or a destination without a limit.",
        )
    collector = StepCollector()
    argvs, context = verbs(chain, "split")
    collector.add(
        "split",
        f"split {plan.recipe.name} {output.name}",
        {"argv": argvs, "stem": stem, "max_file": limit},
        {MODEL: output.step, "toolchain": plan.step(output.step).inputs["toolchain"]},
        context=context,
        resources=Resources(cpu=True, disk_bytes=size),
        keep="final",
    )
    [made] = collector.steps
    return made


def split(plan: Plan, steps: Mapping[str, Step], session: Session) -> dict[str, tuple[Part, ...]]:
    """Run steps that split, and what they need; the parts by the outputs' files.

    Args:
        plan: The plan of the outputs.
        steps: The step for each output's file.
        session: Its runner does the work, its store keeps the parts.

    Raises:
        StepError, EnvironmentProblem: A file could not be split.
    """
    if not steps:
        return {}
    wanted = [one.key for one in steps.values()]
    done = session.runner.run((*plan.steps, *steps.values()), wanted)
    for result in done:
        if result.outcome is Outcome.FAILED:
            kinds = (EnvironmentProblem, UsageError)
            kind = next((one for one in kinds if isinstance(result.cause, one)), StepError)
            raise kind(progress_listeners.failures([result])[0])
    return {file: _parts(one, session) for file, one in steps.items()}


def _parts(one: Step, session: Session) -> tuple[Part, ...]:
    made = session.store.find(one.key)
    if made is None:
        raise StepError(f"{one.label}: its result is gone from the store", "Run again.")
    entries = made.manifest["files"]
    return tuple(
        Part(made.path / name, int(entries[name]["size"]), str(entries[name]["sha256"]))
        for name in made.facts["parts"]
    )
