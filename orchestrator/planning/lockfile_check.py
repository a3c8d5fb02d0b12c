"""Locks of recipes: made from a plan without fetching weights, and held against a plan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from orchestrator.planning import lockfile
from orchestrator.base.errors import (OrchestrateError, UsageError)
from orchestrator.planning.lockfile import (BuildOf, File, Input, Lock, Named, Package, Python, Tools)
from orchestrator.planning.lockfile_packages import (digests, pinned, public)
from orchestrator.planning.plan import (Choices, Plan, Sources)
from orchestrator.recipe.models import Recipe
from orchestrator.base.step_values import (JSON, Step)
from orchestrator.planning.resolve_sources import Resolved
from orchestrator.engine.artifact_store import Store
from orchestrator.toolchain.load import (ToolChain, data_digest)
from orchestrator.base.atomic_file import put

# use: where there is one; require: --locked; ignore: it is about to be written anew.
Mode = Literal["use", "require", "ignore"]
Say = Callable[[str], None]


def without_locks(paths: Sequence[Path]) -> list[Path]:
    """The recipes among files, since ``recipes/*.yaml`` names their locks too.

    Raises:
        UsageError: There is nothing but locks.
    """
    recipes = [path for path in paths if not lockfile.is_lock(path)]
    if paths and not recipes:
        raise UsageError(f"{paths[0]} is a lock", "Name the recipe that it belongs to.")
    return recipes


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
            f"{recipe.file} moved away from {lockfile.path_of(recipe.file).name}: " + "; ".join(moved),
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
    step = _step(plan, "environment")
    found = store.find(step.key, quick=True) if step is not None else None
    return None if found is None else pinned(found.facts["packages"])


def _step(plan: Plan, kind: str) -> Step | None:
    return next((step for step in plan.steps if step.kind == kind), None)


def _pinned_step(lock: Lock, plan: Plan, step: Step) -> Step:
    """A step that installs or fetches is told what the lock says of it."""
    python = lock.python
    if step.kind == "environment" and python is not None and _same_python(python):
        lines = [f"{name}=={public(one.version)}" for name, one in python.packages.items()]
        return replace(step, context={**step.context, "constraints": sorted(lines)})
    if step.kind == "fetch":
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


def make(plan: Plan, store: Store, *, offline: bool, say: Say) -> Lock:
    """Pin everything that a plan means.

    Sizes and digests of files on the Hub are its own statements; no weight is fetched.

    Args:
        plan: The plan of all outputs, with its corpora.
        store: Tells which packages its environment has, and remembers local digests.
        offline: Ask no network; what only it knows is left out.
        say: Told what could not be pinned completely.

    Raises:
        UsageError, EnvironmentProblem, StepError: A source cannot be listed.
    """
    recipe, chain = plan.recipe, plan.chain
    reference = recipe.toolchain.commit or ""
    commit = plan.sources.commit
    return Lock(
        recipe=Named(name=recipe.name, digest=recipe.digest),
        toolchain=Tools(
            name=chain.name,
            commit=commit,
            reference="" if reference == commit else reference,
            data=data_digest(chain),
        ),
        build=_build(plan),
        python=_python(plan, store, offline, say),
        sources={
            name: _input(one, offline, say) for name, one in sorted(_named(plan.sources).items())
        },
    )


def write(lock: Lock, recipe: Recipe) -> Path:
    """Write a recipe's lock beside it, whole or not at all; the file."""
    path = lockfile.path_of(recipe.file)
    put(path, lockfile.text(lock, recipe.file.name).encode("utf-8"))
    return path


def _build(plan: Plan) -> BuildOf:
    step = _step(plan, "build")
    assert step is not None, "every plan builds its tools"
    choice = plan.recipe.toolchain
    return BuildOf(
        profile=choice.profile,
        backend=choice.backend,
        system=tuple(step.params["system"]),
        options=tuple(step.params["options"]),
    )


def _python(plan: Plan, store: Store, offline: bool, say: Say) -> Python | None:
    step = _step(plan, "environment")
    if step is None:
        return None
    installed = _installed(plan, store)
    if installed is None:
        say(
            f"The Python environment of {plan.chain.name} is not made yet: only the packages "
            "that it asks for are pinned; lock again after a run to pin all."
        )
    versions = installed or pinned(str(step.params["requirements"]).splitlines())
    known = digests(versions, offline, say)
    packages = {
        name: Package(version=version, sha256=tuple(sorted(known.get(name, ()))))
        for name, version in sorted(versions.items())
    }
    return Python(
        version=_python_version(),
        platform=sys.platform,
        complete=installed is not None,
        packages=packages,
    )


def _input(source: Resolved, offline: bool, say: Say) -> Input:
    table: Mapping[str, Callable[[Resolved, bool, Say], Input]] = {
        "hub": _hub,
        "pypi": _pypi,
        "url": _url,
        "path": _path,
    }
    return table[source.identity["kind"]](source, offline, say)


def _hub(source: Resolved, offline: bool, _say: Say) -> Input:
    from orchestrator.sources.hub.wanted_files import hub_selection  # noqa: PLC0415 - heavy

    identity = source.identity
    weights, others = hub_selection(identity, offline)
    listed = {
        file.path: File(size=file.size, sha256=file.sha256 or "", blob=file.blob_id or "")
        for file in (*weights, *others)
    }
    return Input(
        kind="hub",
        repo=identity["repo"],
        repo_type=identity["repo_type"],
        commit=identity["commit"],
        reference=source.unpinned,
        member=identity["member"],
        files=dict(sorted(listed.items())),
    )


def _pypi(source: Resolved, offline: bool, say: Say) -> Input:
    identity = source.identity
    package, version, sha256 = (identity[name] for name in ("package", "version", "sha256"))
    size = digests({package: version}, offline, say).get(package, {}).get(sha256)
    files = {f"{package} {version}": File(size=size, sha256=sha256)}
    files |= {name: File(sha256=digest) for name, digest in identity["files"].items()}
    return Input(
        kind="pypi", package=package, version=version, member=identity["file"], files=files
    )


def _url(source: Resolved, offline: bool, say: Say) -> Input:
    from orchestrator.sources import range_requests  # noqa: PLC0415 - heavy

    identity, size = source.identity, None
    try:
        size = None if offline else range_requests.download_size(identity, source.context)
    except OrchestrateError as error:
        say(f"{identity['name']} is pinned without its size: {error.message}.")
    files = {identity["name"]: File(size=size, sha256=identity["sha256"])}
    return Input(kind="url", member=identity["member"], files=files)


def _path(source: Resolved, _offline: bool, _say: Say) -> Input:
    identity, root = source.identity, Path(source.context["path"])
    files: Mapping[str, JSON] = identity["files"]
    listed = {
        name: File(size=(root / name).stat().st_size, sha256=digest)
        for name, digest in sorted(files.items())
    }
    return Input(kind="path", member=identity["member"], files=listed)
