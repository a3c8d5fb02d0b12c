"""Read recipes, make their sources definite and plan them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from orchestrator.base.errors import (
    EnvironmentProblem,
    Interrupted,
    NetworkProblem,
    OrchestrateError,
)
from orchestrator.planning import lockfile_check, measure_steps
from orchestrator.planning import recipe_to_steps as plan
from orchestrator.planning.lockfile import Lock
from orchestrator.planning.recipe_to_steps import Plan, Sources
from orchestrator.planning.resolved_source import Resolved
from orchestrator.planning.source_steps import TEMPLATE
from orchestrator.recipe import Recipe, Vocabulary, load_many
from orchestrator.recipe.source_fields import Source
from orchestrator.runs import find_recipes, tools_at_hand, use_lockfile
from orchestrator.runs.resolve_sources import Resolver
from orchestrator.runs.session import Session
from orchestrator.toolchain import find_toolchain
from orchestrator.toolchain.families import load as families_of
from orchestrator.toolchain.load import ToolChain

_COMMIT = re.compile(r"[0-9a-f]{40}")


# The commit of a repository's branch or tag, by both; or why nobody could say.
Commits = dict[tuple[str, str], str | NetworkProblem]


def vocabulary(name: str, folder: Path | None = None) -> Vocabulary:
    """What a tool chain allows in a recipe of this folder.

    Raises:
        UsageError: There is none, or its data is wrong.
    """
    return vocabulary_of(find_toolchain.load(name, folder))


def vocabularies(folder: Path | None = None) -> list[Vocabulary]:
    """What each tool chain allows that recipes of this folder can use; raises likewise."""
    return [vocabulary_of(found.chain) for found in find_toolchain.every(folder)]


def vocabulary_of(chain: ToolChain) -> Vocabulary:
    """What a tool chain allows in a recipe."""
    families = families_of(chain.folder)
    return Vocabulary(
        types=chain.spellings,
        tensor_types=chain.tensor_types,
        outtypes=tuple(chain.outtypes),
        families=families.names,
        encoders=families.encoders,
        backends=chain.build.backend_names,
        profiles=chain.build.profile_names,
        options=chain.options,
        named=tuple(chain.option_defaults),
        weighed=tuple(name for name, one in chain.types.items() if one.imatrix),
    )


def load(paths: Sequence[Path], *, check_files: bool = True) -> list[Recipe]:
    """Read and validate recipes: files, those in folders, and those that come along, by name.

    Args:
        paths: What the user named.
        check_files: Whether files and folders that the recipes name must exist.

    Raises:
        RecipeError: With every problem of every recipe.
        UsageError: There is no such recipe.
    """
    return list(load_many(find_recipes.files(paths), vocabulary, check_files=check_files))


def load_one(path: Path) -> Recipe:
    """Read and validate the one recipe that is meant; raises as :func:`load`."""
    return load([find_recipes.one(path)])[0]


def resolve(
    recipe: Recipe,
    chain: ToolChain,
    session: Session,
    lock: Lock | None = None,
    commits: Commits | None = None,
) -> Sources:
    """Make every source of a recipe definite; moving references as its lock says, if any.

    ``commits`` are those of the tool chains' branches that were resolved already; it is added
    to, so that recipes that are planned together mean the same commit.

    Raises:
        OrchestrateError: As :meth:`orchestrator.runs.resolve_sources.Resolver.resolve`.
    """
    resolver = Resolver(session.store.file_digest, session.settings.offline, lock)
    model = recipe.model

    def definite(key: str, source: Source | None) -> Resolved | None:
        if source is None:
            return None
        with _naming(recipe, key):
            return resolver.resolve(source)

    corpora = {}
    if recipe.header is not None:
        template = recipe.header.chat_template
        corpora[TEMPLATE] = definite("header.chat_template", template)
    if (used := recipe.used_imatrix) is not None:
        corpora["calibration"] = definite("imatrix.corpus", used.corpus)
        corpora["imatrix"] = definite("imatrix.file", used.file)
        for name, text in used.more.items():
            corpora[f"calibration {name}"] = definite(f"imatrix.more.{name}", text)
    if session.choices.verify:
        for name, text in measure_steps.texts_read(recipe, chain).items():
            corpora[name] = definite(f"verify.{name}", text)
    for part, adapter in recipe.adapter_parts.items():
        corpora[f"adapter {part}"] = definite(f"adapters.{part}", adapter)
    with _naming(recipe, "toolchain.commit"):
        wanted = recipe.toolchain.commit or recipe.toolchain.release or ""
        held = lock.toolchain.commit if lock else ""
        commit = held or commit_of(chain, wanted, session, commits)
    return Sources(
        commit=commit,
        model=definite("model", model) if model.base is None else None,
        base=definite("model.base", model.base),
        delta=definite("model.delta", model.delta),
        adapters={
            name: found
            for name, (key, one) in model.added.items()
            if (found := definite(key, one)) is not None
        },
        corpora={name: found for name, found in corpora.items() if found is not None},
    )


@contextmanager
def _naming(recipe: Recipe, key: str) -> Iterator[None]:
    """Let errors say which recipe met them, and at which key."""
    try:
        yield
    except Interrupted:
        raise
    except OrchestrateError as error:
        place = f"{recipe.file}: "
        if not error.message.startswith(place):
            error.message = f"{place}{key}: {error.message}"
        raise


def commit_of(
    chain: ToolChain, wanted: str, session: Session, commits: Commits | None = None
) -> str:
    """The commit that a commit, its beginning, a tag or a branch means; the pinned one without.

    For ``commits`` see :func:`resolve`.

    Raises:
        EnvironmentProblem: Upstream must be asked, and cannot be.
        StepError: It has none such.
    """
    if not wanted or _COMMIT.fullmatch(wanted):
        return wanted or chain.source.commit
    here = chain.source.known(wanted)
    if here:
        return here
    if session.settings.offline:
        raise EnvironmentProblem(
            f"{wanted!r} of {chain.name} cannot be resolved to a commit offline",
            "Lock the recipe ('orchestrate lock'), name a full commit, or run without --offline.",
        )
    known: Commits = {} if commits is None else commits
    place = (chain.source.git, wanted)
    if place not in known:
        known[place] = _asked(*place)
    found = known[place]
    if isinstance(found, NetworkProblem):
        raise found
    return found


def _asked(url: str, revision: str) -> str | NetworkProblem:
    from orchestrator.sources import git  # noqa: PLC0415 - heavy

    try:
        return git.resolve(url, revision)
    except NetworkProblem as error:
        return error


def make(recipes: Sequence[Recipe], session: Session) -> list[Plan]:
    """Plan recipes: resolve what moves, then plan purely.

    Raises:
        UsageError: A recipe moved away from its lock, or has none and must have one.
    """
    commits: Commits = {}
    return [make_one(recipe, session, commits) for recipe in recipes]


def make_possible(
    recipes: Sequence[Recipe], session: Session
) -> tuple[list[Plan], list[OrchestrateError]]:
    """Plan the recipes that can be planned, and say what was with the others."""
    commits: Commits = {}
    plans: list[Plan] = []
    problems: list[OrchestrateError] = []
    for recipe in recipes:
        try:
            plans.append(make_one(recipe, session, commits))
        except Interrupted:
            raise
        except OrchestrateError as error:
            problems.append(error)
    return plans, problems


def make_one(recipe: Recipe, session: Session, commits: Commits) -> Plan:
    """Plan one recipe; raises as :func:`make`, and for ``commits`` see :func:`resolve`."""
    chain = find_toolchain.load(recipe.toolchain.name, recipe.file.parent)
    lock = use_lockfile.held(recipe, chain, session)
    sources = resolve(recipe, chain, session, lock, commits)
    chain, sources = tools_at_hand.definite(
        recipe, chain, sources, session, locked=lock is not None
    )
    one = plan.make(recipe, chain, sources, session.choices)
    if lock is None:
        return one
    return lockfile_check.hold(lock, one, use_lockfile.installed(one, session.known))
