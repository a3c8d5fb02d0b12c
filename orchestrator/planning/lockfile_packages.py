"""Python packages of a lock: their versions, and the digests that the index states."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from orchestrator.base.errors import EnvironmentProblem

Say = Callable[[str], None]
_PIN = re.compile(r"\s*([A-Za-z0-9][\w.-]*)==([^\s;#]+)")


def pinned(lines: Iterable[str]) -> dict[str, str]:
    """Versions by normalized name, of lines such as ``numpy==2.2.6``; other lines say nothing."""
    found = (_PIN.match(line) for line in lines)
    return {_normal(one[1]): one[2] for one in found if one is not None}


def public(version: str) -> str:
    """A version without its local part: ``2.13.0+cpu`` of another index is 2.13.0 too."""
    return version.partition("+")[0]


def _normal(name: str) -> str:
    # https://packaging.python.org/en/latest/specifications/name-normalization/
    return re.sub(r"[-_.]+", "-", name).lower()


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
