"""The lock beside a recipe: read, and held against the recipe, its plan and what is installed."""

from __future__ import annotations

from pathlib import Path

import yaml

from orchestrator.base.errors import UsageError
from orchestrator.engine import step_kinds
from orchestrator.engine.known_artifacts import KnownArtifacts
from orchestrator.engine.step_kinds import Brings
from orchestrator.planning import lockfile, lockfile_check
from orchestrator.planning.lockfile import Lock
from orchestrator.planning.lockfile_packages import pinned
from orchestrator.planning.plan import Plan
from orchestrator.recipe.models import Recipe
from orchestrator.runs.session import Session
from orchestrator.toolchain.load import ToolChain


def read(path: Path) -> Lock | None:
    """The lock in a file; None if there is no such file.

    Raises:
        UsageError: There is one, but it cannot be read as a lock of this version.
    """
    try:
        return lockfile.parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(
            f"{path} cannot be used as a lock: {why}",
            "Make it again with 'orchestrate lock', or run with --update-lock.",
        ) from error


def held(recipe: Recipe, chain: ToolChain, session: Session) -> Lock | None:
    """The recipe's lock, if there is one, unless it is about to be written anew.

    Raises:
        UsageError: As :func:`read` and :func:`orchestrator.planning.lockfile_check.check`.
    """
    if session.locks == "ignore":
        return None
    lock = read(lockfile.path_of(recipe.file))
    lockfile_check.check(lock, recipe, chain, session.choices, session.locks)
    return lock


def installed(plan: Plan, known: KnownArtifacts) -> dict[str, str] | None:
    """The packages of the plan's environment by name; None where it is not made yet."""
    step = step_kinds.bringing(plan.steps, Brings.PACKAGES)
    found = known.find(step.key, quick=True) if step is not None else None
    return None if found is None else pinned(found.facts["packages"])
