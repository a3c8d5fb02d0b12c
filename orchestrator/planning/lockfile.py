"""Locks: everything that a recipe means, pinned in a file beside it.

A lock is a frozen value. Planning reads moving references from it instead of the network,
and it can say what of a recipe, a tool chain or a local file is no longer what it pinned.
Its text depends on what is pinned alone: no times, no paths of a machine, sorted keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import yaml

from orchestrator.base import installed_data, yaml_file
from orchestrator.base.step_values import JSON
from orchestrator.recipe.models import Recipe
from orchestrator.toolchain.data import Data
from orchestrator.toolchain.load import ToolChain, data_digest

SUFFIX = installed_data.LOCK_SUFFIX


class File(Data):
    """One input file: size in bytes, and its SHA-256 or the id of its git blob.

    The Hub states the SHA-256 of files in LFS and the blob id (SHA-1) of all others; a size
    is missing where nobody states it without sending the file.
    """

    size: int | None = None
    sha256: str = ""
    blob: str = ""


class Input(Data):
    """One source of the recipe; what a kind of source has not is empty.

    ``reference`` is the branch or tag that ``commit`` was resolved from, if it was.
    """

    kind: Literal["hub", "pypi", "path", "url"]
    repo: str = ""
    repo_type: str = ""
    commit: str = ""
    reference: str = ""
    package: str = ""
    version: str = ""
    member: str = ""
    files: Mapping[str, File] = {}


class Named(Data):
    """The recipe: its name and the digest of its content."""

    name: str
    digest: str


class Tools(Data):
    """The tool chain: its full commit and the digest of its folder of data."""

    name: str
    commit: str
    reference: str = ""
    data: str


class BuildOf(Data):
    """How the tools were built where the lock was made; another processor has others.

    ``tools`` are the SHA-256 of installed ones, by name.
    """

    profile: str
    backend: str
    system: tuple[str, ...]
    options: tuple[str, ...] = ()
    tools: Mapping[str, str] = {}

    def moved(self, tools: Mapping[str, str]) -> Iterator[str]:
        """Which of the installed tools that were locked are others now, by their SHA-256."""
        for name, sha256 in self.tools.items():
            found = tools.get(name, "nothing: it is missing")
            if found != sha256:
                yield f"the installed {name} has SHA-256 {found[:12]}, not {sha256[:12]}"


class Package(Data):
    """A Python package: its version and the SHA-256 of every file of that release."""

    version: str
    sha256: tuple[str, ...] = ()


class Python(Data):
    """The converters' Python; ``complete`` when all that was installed is listed."""

    version: str
    platform: str
    complete: bool = False
    packages: Mapping[str, Package] = {}


class Lock(Data):
    """All pins of one recipe."""

    format: Literal[1] = 1
    recipe: Named
    toolchain: Tools
    build: BuildOf
    python: Python | None = None
    sources: Mapping[str, Input] = {}

    def commit_of(self, repo_type: str, repo: str, revision: str) -> str:
        """The commit that a revision of a Hub repository was locked to, or an empty string."""
        for one in self.sources.values():
            same = (one.kind, one.repo_type, one.repo) == ("hub", repo_type, repo)
            if same and revision in (one.reference, one.commit):
                return one.commit
        return ""

    def moved(self, recipe: Recipe, chain: ToolChain) -> Iterator[str]:
        """What of the recipe and its tool chain is not as it was locked; asks no network."""
        if recipe.digest != self.recipe.digest:
            yield f"the recipe has the digest {recipe.digest[:12]}, not {self.recipe.digest[:12]}"
        if chain.name != self.toolchain.name:
            yield f"the tool chain is {chain.name}, not {self.toolchain.name}"
            return
        data = data_digest(chain)
        if data != self.toolchain.data:
            yield (
                f"the data of tool chain {chain.name} has the digest {data[:12]}, "
                f"not {self.toolchain.data[:12]}"
            )

    def moved_source(self, name: str, identity: Mapping[str, JSON]) -> Iterator[str]:
        """What of one resolved source is not as it was locked."""
        known = self.sources.get(name)
        if known is None:
            yield f"the {name} is not in the lock"
        elif identity["kind"] != known.kind:
            yield f"the {name} comes from {identity['kind']}, not {known.kind}"
        elif known.kind == "hub" and identity["commit"] != known.commit:
            yield f"the {name} is at commit {identity['commit'][:12]}, not {known.commit[:12]}"
        elif known.kind == "path":
            yield from _moved_files(name, identity["files"], known.files)


def _moved_files(name: str, found: Mapping[str, str], known: Mapping[str, File]) -> Iterator[str]:
    for file in sorted({*found, *known}):
        if file not in known:
            yield f"{file} of the {name} is new"
        elif file not in found:
            yield f"{file} of the {name} is gone"
        elif found[file] != known[file].sha256:
            yield (
                f"{file} of the {name} has SHA-256 {found[file][:12]}, "
                f"not {known[file].sha256[:12]}"
            )


def path_of(recipe: Path) -> Path:
    """Where the lock of a recipe's file is: ``llama-7b.lock.yaml`` beside ``llama-7b.yaml``.

    A recipe of an installation has it by its name in the folder that the user works in.
    """
    name = installed_data.name_of_installed(recipe)
    return Path(name + SUFFIX) if name else recipe.with_name(recipe.stem + SUFFIX)


def is_lock(path: Path) -> bool:
    """Whether a file is a lock by its name, for commands that are given ``recipes/*.yaml``."""
    return path.name.endswith(SUFFIX)


def text(lock: Lock, recipe: str) -> str:
    """The lock as YAML; the same for equal locks."""
    content = lock.model_dump(mode="json", exclude_defaults=True)
    body = yaml.safe_dump(
        {"format": lock.format, **content}, sort_keys=True, allow_unicode=True, width=1000
    )
    return f"# Made by 'orchestrate lock {recipe}': everything that it needs, pinned.\n{body}"


def parse(content: bytes) -> Lock:
    """The lock that a text describes.

    Raises:
        ValueError, yaml.YAMLError: It is no lock of this version.
    """
    return Lock.model_validate(yaml_file.parse(content))
