"""Installed tools: found, asked what they are, and put in place of a build."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, StepError, UsageError
from orchestrator.base.process import run_process
from orchestrator.base.process.isolation import Visible
from orchestrator.base.step_values import JSON, Step
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact import Artifact
from orchestrator.engine.known_artifacts import KnownArtifacts
from orchestrator.engine.step_kinds import Brings
from orchestrator.planning.plan import Choices, Sources
from orchestrator.planning.step_collector import StepCollector
from orchestrator.planning.toolchain_steps import add_tools, unpack
from orchestrator.recipe.models import Recipe, Tools
from orchestrator.runs import chain_at_commit, preflight
from orchestrator.runs.session import Session
from orchestrator.toolchain import installed
from orchestrator.toolchain.installed import Archive
from orchestrator.toolchain.load import ToolChain
from orchestrator.toolchain.model import Installed

_SECONDS = 60.0


@dataclass(frozen=True)
class _Wanted:
    """Which tools: those of ``given``, or upstream's own; ``commit`` is stated, or empty."""

    given: Tools | None
    commit: str
    release: str


def definite(
    recipe: Recipe, chain: ToolChain, sources: Sources, session: Session, *, locked: bool
) -> tuple[ToolChain, Sources]:
    """The tool chain's data as it is for the commit of a recipe, with installed tools, if any.

    Args:
        recipe: The recipe; the command line's tools win over its own.
        chain: Its tool chain.
        sources: What it starts from; their commit is the tools' afterwards.
        session: Its store, and what the command line says.
        locked: Whether the commit comes from a lock.

    Raises:
        OrchestrateError: The source cannot be fetched, or as :func:`taken`.
    """
    chosen = recipe.toolchain
    named = bool(locked or chosen.commit or chosen.release)
    commit = sources.commit if named else ""
    own = None if session.choices.tools or session.choices.prebuilt else chosen.tools
    if own is None and not asked(session.choices):
        return chain_at_commit.at_commit(chain, sources.commit, session), sources
    own_chain, found = taken(chain, session, own, commit, chosen.release or chosen.commit or "")
    return own_chain, replace(sources, commit=found)


def asked(choices: Choices) -> bool:
    """Whether the command line asks for installed tools, or for upstream's own."""
    return choices.tools is not None or choices.prebuilt


def taken(
    chain: ToolChain,
    session: Session,
    given: Tools | None = None,
    commit: str = "",
    release: str = "",
) -> tuple[ToolChain, str]:
    """The tool chain with tools in place of a build, and their commit.

    Args:
        chain: The tool chain's data for the pinned commit.
        session: Says which tools, where ``given`` does not.
        given: What a recipe says of them.
        commit: The whole commit that is stated; empty where the tools are to say it.
        release: How it is stated: perhaps by upstream's name for it.

    Raises:
        UsageError: There are none, they cannot be run or are of another commit, or the data
            knows nothing of such tools.
        OrchestrateError: An archive or the source cannot be fetched.
    """
    if chain.installed is None:
        raise UsageError(
            f"tool chain {chain.name} can only be built: it has no data about installed tools",
            "Leave out 'tools'.",
        )
    if session.choices.profile or session.choices.backend:
        raise UsageError(
            "installed tools are built already: --profile and --backend choose nothing",
            "Leave them out, or leave out the tools.",
        )
    if session.choices.tools is not None:
        given = Tools(path=session.choices.tools)
    wanted = _Wanted(given, commit, release)
    root, archive = _root(chain, chain.installed, wanted, session)
    folder = installed.folder_of(root, chain.installed)
    if not commit:
        commit = chain.source.commit if given is None else ""
    commit = _commit(chain, folder, commit, offline=session.settings.offline)
    own = chain_at_commit.at_commit(chain, commit, session)
    found = installed.files(own, folder)
    digests = {name: session.store.file_digest(path) for name, path in sorted(found.items())}
    build = _portable_build(own, commit, session.choices, session.known)
    kept = installed.Kept(build.path / "src", build.facts["origin"]) if build else None
    return installed.with_tools(own, found, digests, archive=archive, kept=kept), commit


# -- where they are ----------------------------------------------------------------------------


def _root(
    chain: ToolChain, data: Installed, wanted: _Wanted, session: Session
) -> tuple[Path, Archive | None]:
    """A folder that is there, or what an archive was unpacked to."""
    given = wanted.given
    if given is not None and given.path is not None:
        path = given.path.expanduser().absolute()
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}", "Name where the tools are.")
        if path.is_dir():
            return path, None
        archive = Archive({"sha256": session.store.file_digest(path)}, {"path": str(path)})
    elif given is not None:
        archive = Archive({"sha256": given.sha256 or ""}, {"urls": [str(given.url)]})
    else:
        urls = _of_upstream(chain, data, wanted, session)
        archive = Archive({"urls": urls}, {"urls": urls})
    return _unpacked(chain, archive, session), archive


def _of_upstream(
    chain: ToolChain, data: Installed, wanted: _Wanted, session: Session
) -> list[JSON]:
    """The addresses that upstream's own build of a commit may have."""
    system = f"{session.choices.platform}/{session.choices.machine.lower()}"
    names = data.archives.names.get(system, ()) if data.archives else ()
    if data.archives is None or not names:
        raise UsageError(
            f"{chain.name} has no builds of its own for {system} that are known here",
            "Build it, or name installed tools with --tools FOLDER.",
        )
    commit = wanted.commit or chain.source.commit
    known = {one.commit: one.release for one in chain.source.tried}
    named = "" if commit.startswith(wanted.release) else wanted.release
    release = known.get(commit, "") or named
    if not release:
        raise UsageError(
            f"upstream's release of {chain.name} {commit[:12]} is not known here",
            "Name it: 'release:' in the recipe in place of 'commit:', or --commit for a build.",
        )
    url = data.archives.url
    return [url.format(release=release, name=name.format(release=release)) for name in names]


def _unpacked(chain: ToolChain, archive: Archive, session: Session) -> Path:
    collector = StepCollector()
    key = unpack(collector, chain, archive)
    found = session.known.find(key)
    if found is None:
        preflight.succeeded(session.runner.run(collector.steps, [key]))
        found = session.known.find(key)
    assert found is not None
    return found.path


# -- what they are -----------------------------------------------------------------------------


def _commit(chain: ToolChain, folder: Path, stated: str, *, offline: bool) -> str:
    """The whole commit of the tools in a folder, which must be the stated one, if one is."""
    data = chain.installed
    assert data is not None
    said = _version(installed.speaker(folder, data), folder)
    found = re.search(data.version, said)
    short = found["commit"] if found else ""
    if stated and not stated.startswith(short):
        raise UsageError(
            f"the tools in {folder} are of commit {short}, not of {stated[:12]}",
            "Name other tools, or leave the commit out of the recipe and its lock.",
        )
    commit = stated or chain.source.known(short)
    if not commit and found and not offline:
        release = data.release.format(build=found["build"])
        commit = _asked(chain.source.git, release, short) or _asked(chain.source.git, short, short)
    if not commit:
        line = next(iter(said.strip().splitlines()), "nothing")
        raise UsageError(
            f"which commit the tools in {folder} are of is not known: they say {line[:100]!r}",
            "Say it beside 'tools': 'commit:' with 40 digits, or 'release:'; or with --commit for "
            "a build.",
        )
    return commit


def _version(program: Path, folder: Path) -> str:
    """What a program says when it is asked for its version, whatever its exit code is."""
    beside = [folder, folder.resolve(), program.resolve().parent]
    visible = Visible((*beside, *(one.parent / "lib" for one in beside)))
    with TemporaryDirectory(prefix="orchestrate-") as place:
        try:
            return run_process.run(
                [program, "--version"],
                cwd=Path(place),
                log=Path(place) / "log",
                timeout=_SECONDS,
                check=False,
                visible=replace(visible, write=(Path(place),)),
            ).text
        except run_process.ToolError as error:
            raise UsageError(f"{program} does not run here: {error.message}", error.hint) from error


def _asked(url: str, revision: str, short: str) -> str:
    """The commit of a release or of the beginning of a commit, if upstream says one that fits."""
    from orchestrator.sources import git  # noqa: PLC0415 - heavy

    with suppress(NetworkProblem, StepError, EnvironmentProblem):
        found = git.resolve(url, revision) if revision else ""
        return found if found.startswith(short) else ""
    return ""


# -- what they make ----------------------------------------------------------------------------


def sentence(chain: ToolChain, steps: Sequence[Step], known: KnownArtifacts) -> str:
    """Whether installed tools make the bytes of the portable build; empty for a build.

    Args:
        chain: The tool chain with these tools.
        steps: The steps of a plan that takes them.
        known: What they made of a small model, and perhaps a portable build.
    """
    step = step_kinds.bringing(steps, Brings.UPSTREAM)
    found = known.find(step.key, quick=True) if chain.tools and step else None
    if step is None or found is None:
        return ""
    made: Mapping[str, str] = found.facts["bytes"]
    commit = str(step.params["commit"])
    portable = f"the portable build of {chain.name} {commit[:12]}"
    theirs = _portable(chain, commit, step.params["system"], known)
    both = sorted(made.keys() & theirs.keys())
    if not both:
        return (
            f"Whether the installed tools make the bytes of {portable} is not known: "
            "what that makes is not recorded, and it is not in the store."
        )
    other = [name for name in both if made[name] != theirs[name]]
    if not other:
        return f"The installed tools make the same bytes as {portable} ({', '.join(both)})."
    same = [name for name in both if name not in other]
    return (
        f"The installed tools make other bytes than {portable} for {', '.join(other)}, "
        f"and the same for {', '.join(same) or 'no other type'}."
    )


def _portable(
    chain: ToolChain, commit: str, system: Sequence[str], known: KnownArtifacts
) -> Mapping[str, str]:
    """What the portable build makes: recorded, or of the one in the store."""
    assert chain.compared is not None
    recorded = chain.compared.portable.get(commit)
    if recorded:
        return recorded
    platform, machine = system
    here = Choices(platform=platform, machine=machine)
    found = _portable_build(chain.using(None), commit, here, known)
    made: Mapping[str, str] = found.facts.get("bytes", {}) if found else {}
    return made


def _portable_build(
    chain: ToolChain, commit: str, choices: Choices, known: KnownArtifacts
) -> Artifact | None:
    """The portable build of a commit, if the store has it."""
    usual = replace(choices, profile="", backend="")
    return known.find(add_tools(StepCollector(), chain, commit, usual)["toolchain"])
