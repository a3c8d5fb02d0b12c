"""Locks of recipes: made from a plan without fetching weights, and held against a plan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import Step
from orchestrator.engine import step_kinds
from orchestrator.engine.step_kinds import Brings
from orchestrator.planning import lockfile
from orchestrator.planning.lockfile import Lock, Python
from orchestrator.planning.lockfile_packages import public
from orchestrator.planning.plan import Choices, Plan
from orchestrator.recipe.models import Recipe
from orchestrator.toolchain.load import ToolChain

# use: where there is one; require: --locked; ignore: it is about to be written anew.
Mode = Literal["use", "require", "ignore"]
Say = Callable[[str], None]


def check(
    lock: Lock | None, recipe: Recipe, chain: ToolChain, choices: Choices, mode: Mode
) -> None:
    """Refuse a recipe that is no longer what its lock pins, or that has none and must.

    Another build profile than the locked one is one run's own choice, unless ``mode``
    requires the lock.

    Raises:
        UsageError: The recipe or its tool chain moved, or ``mode`` requires a lock and
            there is none.
    """
    if lock is None and mode == "require":
        path = lockfile.path_of(recipe.file)
        raise UsageError(
            f"{recipe.file} has no lock ({path.name})",
            f"Make one with 'orchestrate lock {recipe.file}', or run without --locked.",
        )
    if lock is not None:
        chosen = _chosen(lock, choices) if mode == "require" else ()
        _refuse(recipe, [*lock.moved(recipe, chain), *chosen])


def _chosen(lock: Lock, choices: Choices) -> Iterator[str]:
    """What the command line chose against the lock."""
    build = lock.build
    for what, wanted, locked in (
        ("build profile", choices.profile, build.profile),
        ("back end", choices.backend, build.backend),
    ):
        if wanted not in ("", locked):
            yield f"the {what} is {wanted}, not {locked}"


def hold(lock: Lock, plan: Plan, installed: Mapping[str, str] | None) -> Plan:
    """The plan with the lock's pins of packages and files in its steps; keys stay.

    ``installed`` are the versions of its environment's packages, if that is made already.

    Raises:
        UsageError: A source or the tool chain's environment is not what was locked.
    """
    moved = [
        text
        for name, one in plan.sources.named.items()
        for text in lock.moved_source(name, one.identity)
    ]
    if plan.sources.commit != lock.toolchain.commit:
        moved.append(
            f"the tool chain is at commit {plan.sources.commit[:12]}, "
            f"not {lock.toolchain.commit[:12]}"
        )
    tools = plan.chain.tools
    moved += lock.build.moved(tools.digests) if tools and plan.recipe.toolchain.tools else ()
    moved += _moved_packages(lock, installed)
    _refuse(plan.recipe, moved)
    return replace(plan, steps=tuple(_pinned_step(lock, plan, step) for step in plan.steps))


def _refuse(recipe: Recipe, moved: list[str]) -> None:
    if moved:
        raise UsageError(
            f"{recipe.file} no longer matches {lockfile.path_of(recipe.file).name}: "
            + "; ".join(moved),
            "Undo that, or run with --update-lock to pin what is there now.",
        )


def _moved_packages(lock: Lock, installed: Mapping[str, str] | None) -> Iterator[str]:
    """Where the environment is there already: packages of another version than locked."""
    wanted = lock.python
    if wanted is None or not wanted.complete or installed is None or not _same_python(wanted):
        return
    for name, package in wanted.packages.items():
        found = installed.get(name, "missing")
        if public(found) != public(package.version):
            yield f"the package {name} is {found}, not {package.version}"


def _same_python(wanted: Python) -> bool:
    return (wanted.version, wanted.platform) == (python_version(), sys.platform)


def python_version() -> str:
    """This Python's version, as locks state it."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _pinned_step(lock: Lock, plan: Plan, step: Step) -> Step:
    """A step that installs or fetches is told what the lock says of it."""
    python, brings = lock.python, step_kinds.of(step).brings
    if brings is Brings.PACKAGES and python is not None and _same_python(python):
        lines = [f"{name}=={public(one.version)}" for name, one in python.packages.items()]
        return replace(step, context={**step.context, "constraints": sorted(lines)})
    if brings is Brings.FILES:
        found = plan.sources.named.items()
        names = [name for name, one in found if dict(one.identity) == step.params["source"]]
        names = [name for name in names if lock.sources[name].kind == "hub"]
        files = {
            path: file.sha256 or file.blob
            for name in names
            for path, file in lock.sources[name].files.items()
        }
        return replace(step, context={**step.context, "locked": files})
    return step
