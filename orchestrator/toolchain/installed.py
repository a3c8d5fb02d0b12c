"""Installed tools: which files they are, and what can be done with them.

Files are looked for here and digests handed in; nothing is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base import machine_info
from orchestrator.base.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.toolchain.load import ToolChain
    from orchestrator.toolchain.model import Installed

_PROGRAM = re.compile(r"\{bin\}/(.+?)(?:\{exe\})?")
_BELOW = ("", "*", "*/*")  # where in an unpacked archive, or below a prefix, programs are


@dataclass(frozen=True)
class Archive:
    """What was unpacked: what its step is known by, and where it came from."""

    params: Mapping[str, object]
    context: Mapping[str, object]


@dataclass(frozen=True)
class Kept:
    """The converters of a commit that a build has left in the store, and where they came from."""

    folder: Path
    origin: str


@dataclass(frozen=True)
class Tools:
    """Programs and libraries by the names that they are called by, and their SHA-256.

    ``missing`` maps verbs to the program that they need and that is not there.
    """

    files: Mapping[str, Path]
    digests: Mapping[str, str]
    missing: Mapping[str, str] = field(default_factory=dict)
    archive: Archive | None = None
    kept: Kept | None = None


def folder_of(root: Path, installed: Installed) -> Path:
    """The folder with the programs: this one or one below it, at most two deep.

    Raises:
        UsageError: There is none of them.
    """
    wanted = [name + machine_info.exe() for name in installed.asked]
    for pattern in _BELOW:
        for folder in sorted(root.glob(pattern)) if pattern else [root]:
            if any((folder / name).is_file() for name in wanted):
                return folder
    raise UsageError(
        f"there are no tools in {root}: none of {', '.join(wanted)}",
        "Name the folder that they are in.",
    )


def speaker(folder: Path, installed: Installed) -> Path:
    """The program in a folder of tools that is asked for its version."""
    paths = (folder / (name + machine_info.exe()) for name in installed.asked)
    return next(path for path in paths if path.is_file())


def files(chain: ToolChain, folder: Path) -> dict[str, Path]:
    """The programs that a tool chain calls and the libraries that belong to them, without links."""
    assert chain.installed is not None
    names = [name + machine_info.exe() for name in _called(chain).values()]
    found = {name: folder / name for name in names if (folder / name).is_file()}
    real = next(iter(found.values()), folder / "none").resolve().parent
    for place in dict.fromkeys((folder, real)):
        for pattern in chain.installed.libraries:
            for path in sorted(place.glob(pattern)):
                if path.is_file():
                    found.setdefault(path.name, path)
    return {name: path.resolve() for name, path in found.items()}


def with_tools(
    chain: ToolChain,
    found: Mapping[str, Path],
    digests: Mapping[str, str],
    *,
    archive: Archive | None = None,
    kept: Kept | None = None,
) -> ToolChain:
    """The tool chain with these tools in place of a build, and without what they cannot do.

    Raises:
        UsageError: There is no quantizer among them.
    """
    end = machine_info.exe()
    missing = {verb: one for verb, one in _called(chain).items() if one + end not in found}
    missing.pop("", None)
    tools = Tools(found, digests, missing, archive, kept)
    lost = {*missing, *(() if _serves_bindings(chain, found) else _pinned(chain))}
    verbs = {
        name: verb.model_copy(update={"program": ""})
        for name, verb in chain.verbs.items()
        if name not in lost
    }
    whole = chain.model_copy(update={"verbs": verbs}).using(tools)
    whole.verb("quantize")
    return whole


def _called(chain: ToolChain) -> dict[str, str]:
    """The program of every verb that calls one of upstream's."""
    firsts = {name: verb.argv[0] for name, verb in chain.verbs.items()}
    found = {name: _PROGRAM.fullmatch(one) for name, one in firsts.items() if isinstance(one, str)}
    return {name: one[1] for name, one in found.items() if one}


def _pinned(chain: ToolChain) -> Iterator[str]:
    return (name for name, verb in chain.verbs.items() if verb.pinned)


def _serves_bindings(chain: ToolChain, found: Mapping[str, Path]) -> bool:
    """Whether bindings, which fit the pinned commit alone, have a library to load."""
    assert chain.installed is not None
    library = chain.installed.bindings
    return chain.pinned is None and any(re.fullmatch(library, name) for name in found)
