"""Write the lock file of a plan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.base.atomic_file import put
from orchestrator.base.errors import EnvironmentProblem, OrchestrateError
from orchestrator.base.step_values import JSON
from orchestrator.engine import step_kinds
from orchestrator.engine.known_artifacts import KnownArtifacts
from orchestrator.engine.step_kinds import Brings
from orchestrator.planning import lockfile
from orchestrator.planning.lockfile import BuildOf, File, Input, Lock, Named, Package, Python, Tools
from orchestrator.planning.lockfile_check import Say, python_version
from orchestrator.planning.lockfile_packages import pinned, public
from orchestrator.planning.plan import Plan
from orchestrator.planning.resolved_source import Resolved
from orchestrator.recipe.models import Recipe
from orchestrator.runs import use_lockfile
from orchestrator.toolchain.load import data_digest


def make(plan: Plan, known: KnownArtifacts, *, offline: bool, say: Say) -> Lock:
    """Pin everything that a plan means.

    Sizes and digests of files on the Hub are its own statements; no weight is fetched.

    Args:
        plan: The plan of all outputs, with its corpora.
        known: Tells which packages its environment has.
        offline: Ask no network; what only it knows is left out.
        say: Told what could not be pinned completely.

    Raises:
        UsageError, EnvironmentProblem, StepError: A source cannot be listed.
    """
    recipe, chain = plan.recipe, plan.chain
    reference = recipe.toolchain.commit or recipe.toolchain.release or ""
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
        python=_python(plan, known, offline, say),
        sources={
            name: _input(one, offline, say) for name, one in sorted(plan.sources.named.items())
        },
    )


def write(lock: Lock, recipe: Recipe) -> Path:
    """Write a recipe's lock beside it, whole or not at all; the file."""
    path = lockfile.path_of(recipe.file)
    put(path, lockfile.text(lock, recipe.file.name).encode("utf-8"))
    return path


def _build(plan: Plan) -> BuildOf:
    step = step_kinds.bringing(plan.steps, Brings.UPSTREAM)
    assert step is not None, "every plan builds its tools"
    choice = plan.recipe.toolchain
    return BuildOf(
        profile=choice.profile,
        backend=choice.backend,
        system=tuple(step.params["system"]),
        options=tuple(step.params["options"]),
        tools=dict(step.params.get("tools", {})),
    )


def _python(plan: Plan, known: KnownArtifacts, offline: bool, say: Say) -> Python | None:
    step = step_kinds.bringing(plan.steps, Brings.PACKAGES)
    if step is None:
        return None
    installed = use_lockfile.installed(plan, known)
    if installed is None:
        say(
            f"The Python environment of {plan.chain.name} is not made yet: only the packages "
            "that it asks for are pinned; lock again after a run to pin all."
        )
    versions = installed or pinned(str(step.params["requirements"]).splitlines())
    stated = digests(versions, offline, say)
    packages = {
        name: Package(version=version, sha256=tuple(sorted(stated.get(name, ()))))
        for name, version in sorted(versions.items())
    }
    return Python(
        version=python_version(),
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
    chosen = hub_selection(identity, offline)
    listed = {
        file.path: File(size=file.size, sha256=file.sha256 or "", blob=file.blob_id or "")
        for file in (*chosen.weights, *chosen.others)
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
    from orchestrator.sources import gguf_source, range_requests  # noqa: PLC0415 - heavy

    identity, files = source.identity, {}
    for name in (identity["name"], *identity.get("files", ())):
        size, (part, where) = None, gguf_source.part(identity, source.context, name)
        try:
            size = None if offline else range_requests.download_size(part, where)
        except OrchestrateError as error:
            say(f"{name} is pinned without its size: {error.message}.")
        files[name] = File(size=size, sha256=part["sha256"])
    return Input(kind="url", member=identity["member"], files=files)


def _path(source: Resolved, _offline: bool, _say: Say) -> Input:
    identity, root = source.identity, Path(source.context["path"])
    files: Mapping[str, JSON] = identity["files"]
    listed = {
        name: File(size=(root / name).stat().st_size, sha256=digest)
        for name, digest in sorted(files.items())
    }
    return Input(kind="path", member=identity["member"], files=listed)


def digests(
    versions: Mapping[str, str], offline: bool, say: Say
) -> dict[str, dict[str, int | None]]:
    """Size by SHA-256 of every file of these releases, by name.

    An index that cannot be asked costs the digests alone; ``say`` is told so.
    """
    if offline:
        say("Packages are pinned without digests: --offline asks no package index.")
        return {}
    from orchestrator.sources import pypi  # noqa: PLC0415 - its libraries are heavy

    try:
        found = pypi.released({name: public(version) for name, version in versions.items()})
    except EnvironmentProblem as error:
        say(f"Packages are pinned without digests: {error.message}.")
        return {}
    return {name: {file.sha256: file.size for file in files} for name, files in found.items()}
