"""Which folders hold tool chains, and the tool chain of a name in them.

Folders of ``ORCHESTRATE_TOOLCHAINS`` come first and may replace what is installed; ``vendor/``
beside a recipe comes last and only adds: a recipe of somebody else never changes what
``llama.cpp`` means.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import installed_data
from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.base.near_match import near
from orchestrator.toolchain import load as reading
from orchestrator.toolchain.load import ToolChain

VARIABLE = "ORCHESTRATE_TOOLCHAINS"
_BESIDE = "vendor"
_RECIPES = "recipes"


@dataclass(frozen=True)
class Place:
    """A folder of tool chains: ``why`` is ``variable``, ``installed`` or ``beside``."""

    folder: Path
    why: str


@dataclass(frozen=True)
class Found:
    """A tool chain, and where its data was found."""

    chain: ToolChain
    place: Place


def places(beside: Path | None = None) -> tuple[Place, ...]:
    """The folders of tool chains in the order in which they are searched, each once.

    Args:
        beside: The folder of a recipe, or the one that the user works in.

    Raises:
        UsageError: ``ORCHESTRATE_TOOLCHAINS`` names something that is no folder.
    """
    found = [Place(folder, "variable") for folder in _of_variable()]
    found.append(Place(installed_data.TOOLCHAINS, "installed"))
    found += [Place(folder, "beside") for folder in _neighbours(beside)]
    once = {place.folder.resolve(): place for place in reversed(found)}
    return tuple(place for place in found if once[place.folder.resolve()] is place)


def _of_variable() -> list[Path]:
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    for folder in named:
        if not folder.is_dir():
            raise UsageError(
                f"{VARIABLE} names {folder}, which is no folder",
                "It holds folders of tool chains, each with its toolchain.yaml in NAME/.",
            )
    return named


def _neighbours(beside: Path | None) -> list[Path]:
    """``vendor/`` in a folder, and beside the folder ``recipes/`` that it is or lies in."""
    if beside is None:
        return []
    folder = beside.absolute()
    above = [one.parent for one in (folder, *folder.parents) if one.name == _RECIPES]
    return [one / _BESIDE for one in (folder, *above) if (one / _BESIDE).is_dir()]


def names(beside: Path | None = None) -> tuple[str, ...]:
    """The names of all tool chains that can be used; raises as :func:`places`."""
    known = {name for place in places(beside) for name in reading.names(place.folder)}
    return tuple(sorted(known))


def find(name: str, beside: Path | None = None) -> Found:
    """The tool chain of this name.

    Raises:
        UsageError: There is none, or its data is wrong.
        EnvironmentProblem: The installation has lost its data.
    """
    for place in places(beside):
        if name in reading.names(place.folder):
            return Found(reading.load(name, place.folder), place)
    known = names(beside)
    if not reading.names(installed_data.TOOLCHAINS):
        raise _no_data()
    raise UsageError(
        f"unknown tool chain {name!r}{near(name, known)}", f"Known: {', '.join(known)}."
    )


def load(name: str, beside: Path | None = None) -> ToolChain:
    """The tool chain of this name; raises as :func:`find`."""
    return find(name, beside).chain


def every(beside: Path | None = None) -> list[Found]:
    """All tool chains that can be used, by name; raises as :func:`find`."""
    known = names(beside)
    if not known:
        raise _no_data()
    return [find(name, beside) for name in known]


def _no_data() -> EnvironmentProblem:
    return EnvironmentProblem(
        f"this installation holds no tool-chain data: {installed_data.TOOLCHAINS} is not there",
        f"Reinstall orchestrate-gguf, or name a folder of tool chains in {VARIABLE}.",
    )
