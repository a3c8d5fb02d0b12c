"""Locks of recipes: made from a plan without fetching weights, and held against a plan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import Step
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.step_kinds import Brings
from orchestrator.planning import lockfile
from orchestrator.planning.lockfile import Lock, Python
from orchestrator.planning.lockfile_packages import pinned, public
from orchestrator.planning.plan import Choices, Plan, Sources
from orchestrator.planning.resolve_sources import Resolved
from orchestrator.recipe.models import Recipe
from orchestrator.toolchain.load import ToolChain

# use: where there is one; require: --locked; ignore: it is about to be written anew.
Mode = Literal["use", "require", "ignore"]
Say = Callable[[str], None]


def held(recipe: Recipe, chain: ToolChain, choices: Choices, mode: Mode) -> Lock | None:
    """The recipe's lock, if there is one and the recipe is still what it pins.

    Another build profile than the locked one is one run's own choice, unless ``mode``
    requires the lock.

    Raises:
        UsageError: The recipe or its tool chain moved, or ``mode`` requires a lock and
            there is none.
    """
    if mode == "ignore":
        return None
    path = lockfile.path_of(recipe.file)
    lock = lockfile.read(path)
    if lock is None and mode == "require":
        raise UsageError(
            f"{recipe.file} has no lock ({path.name})",
            f"Make one with 'orchestrate lock {recipe.file}', or run without --locked.",
        )
    if lock is not None:
        chosen = _chosen(lock, choices) if mode == "require" else ()
        _refuse(recipe, [*lock.moved(recipe, chain), *chosen])
    return lock


def _chosen(lock: Lock, choices: Choices) -> Iterator[str]:
    """What the command line chose against the lock."""
    build = lock.build
    for what, wanted, locked in (
        ("build profile", choices.profile, build.profile),
        ("back end", choices.backend, build.backend),
    ):
        if wanted not in ("", locked):
            yield f"the {what} is {wanted}, not {locked}"


def hold(lock: Lock, plan: Plan, store: Store) -> Plan:
    """The plan with the lock's pins of packages and files in its steps; keys stay.

    Raises:
        UsageError: A source or the tool chain's environment is not what was locked.
    """
    moved = [
        text
        for name, one in _named(plan.sources).items()
        for text in lock.moved_source(name, one.identity)
    ]
    if plan.sources.commit != lock.toolchain.commit:
        moved.append(
            f"the tool chain is at commit {plan.sources.commit[:12]}, "
            f"not {lock.toolchain.commit[:12]}"
        )
    moved += _moved_packages(lock, plan, store)
    _refuse(plan.recipe, moved)
    return replace(plan, steps=tuple(_pinned_step(lock, plan, step) for step in plan.steps))


def _refuse(recipe: Recipe, moved: list[str]) -> None:
    if moved:
        raise UsageError(
            f"{recipe.file} moved away from {lockfile.path_of(recipe.file).name}: "
            + "; ".join(moved),
            "Undo that, or run with --update-lock to pin what is there now.",
        )


def _named(sources: Sources) -> dict[str, Resolved]:
    """All sources by the names that locks give them."""
    given = {"model": sources.model, "base": sources.base, "delta": sources.delta}
    named = {name: one for name, one in given.items() if one is not None}
    return {**named, **sources.corpora}


def _moved_packages(lock: Lock, plan: Plan, store: Store) -> Iterator[str]:
    """Where the environment is there already: packages of another version than locked."""
    wanted, installed = lock.python, _installed(plan, store)
    if wanted is None or not wanted.complete or installed is None or not _same_python(wanted):
        return
    for name, package in wanted.packages.items():
        found = installed.get(name, "missing")
        if public(found) != public(package.version):
            yield f"the package {name} is {found}, not {package.version}"


def _same_python(wanted: Python) -> bool:
    return (wanted.version, wanted.platform) == (_python_version(), sys.platform)


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _installed(plan: Plan, store: Store) -> dict[str, str] | None:
    """The packages of the environment by name; None where it is not made yet."""
    step = step_kinds.bringing(plan.steps, Brings.PACKAGES)
    found = store.find(step.key, quick=True) if step is not None else None
    return None if found is None else pinned(found.facts["packages"])


def _pinned_step(lock: Lock, plan: Plan, step: Step) -> Step:
    """A step that installs or fetches is told what the lock says of it."""
    python, brings = lock.python, step_kinds.of(step).brings
    if brings is Brings.PACKAGES and python is not None and _same_python(python):
        lines = [f"{name}=={public(one.version)}" for name, one in python.packages.items()]
        return replace(step, context={**step.context, "constraints": sorted(lines)})
    if brings is Brings.FILES:
        named = _named(plan.sources).items()
        names = [name for name, one in named if dict(one.identity) == step.params["source"]]
        names = [name for name in names if lock.sources[name].kind == "hub"]
        files = {
            path: file.sha256 or file.blob
            for name in names
            for path, file in lock.sources[name].files.items()
        }
        return replace(step, context={**step.context, "locked": files})
    return step


# -- making one ------------------------------------------------------------------------------
