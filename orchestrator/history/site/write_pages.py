"""A folder of pages: each replaced whole, only where it differs, and none that is not ours."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import json_text
from orchestrator.base.atomic_file import put
from orchestrator.base.digest import key
from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.base.file_mutex import Locks
from orchestrator.base.step_values import JSON

LIST = "pages.json"
_FORMAT = 1
_PART = re.compile(r"\.(.+)\.\d+\.part")
Text = Callable[[], str]


@dataclass(frozen=True)
class Written:
    """What became of the pages; ``bytes`` is the size of all of them."""

    folder: Path
    written: tuple[str, ...]
    unchanged: int
    removed: tuple[str, ...]
    bytes: int

    def as_json(self) -> dict[str, JSON]:
        """For ``--json``."""
        lists = {"written": list(self.written), "removed": list(self.removed)}
        counts = {"unchanged": self.unchanged, "bytes": self.bytes}
        return {"folder": str(self.folder), **lists, **counts}


def write(folder: Path, pages: Mapping[str, Text], locks: Locks) -> Written:
    """Bring a folder up to date.

    A list in it says which files are ours. What is about to be written is put on it first, so
    that wherever this is stopped all pages are whole and none of ours is forgotten. One
    process writes at a time; another one waits.

    Args:
        folder: Where they go; made when it is not there.
        pages: What makes each page, by its place below the folder, with ``/``.
        locks: Where those who write meet: not in the folder, which others will see.

    Raises:
        UsageError: A file that this program did not write is in the way.
        EnvironmentProblem: The folder cannot be written.
    """
    with _writable(folder), locks.exclusive(f"site-{key(str(folder.absolute()))[:16]}"):
        ours = _listed(folder)
        for name in pages:
            _check_place(folder, name, ours)
        _keep(folder, {**ours, **dict.fromkeys(pages, "")})
        _sweep(folder, [LIST, *ours, *pages])
        digests: dict[str, str] = {}
        written: list[str] = []
        total = 0
        for name, text in pages.items():
            data = text().encode("utf-8", "replace")
            if put(folder / name, data):
                written.append(name)
            digests[name] = hashlib.sha256(data).hexdigest()
            total += len(data)
        stale = {name: digest for name, digest in ours.items() if name not in digests}
        removed = tuple(_removed(folder, stale))
        _keep(folder, digests)
    return Written(folder, tuple(written), len(digests) - len(written), removed, total)


def _sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what a process that was killed left beside our pages; nobody else writes now."""
    ours = {folder / name for name in names}
    for place in {path.parent for path in ours}:
        for path in place.glob(".*.part"):
            found = _PART.fullmatch(path.name)
            if found is not None and place / found[1] in ours:
                path.unlink(missing_ok=True)


def _check_place(folder: Path, name: str, ours: Mapping[str, str]) -> None:
    if not _inside(name):
        raise UsageError(f"{name!r} cannot be the name of a page")
    if name not in ours and os.path.lexists(folder / name):
        raise UsageError(
            f"{folder / name} is there and was not written by this command",
            "Choose another folder, or move that file away.",
        )


def _listed(folder: Path) -> dict[str, str]:
    """Our files of an earlier run with their digests; none when the list is damaged."""
    try:
        pages = json_text.parse((folder / LIST).read_bytes())["pages"]
        return {name: str(digest) for name, digest in pages.items() if _inside(name)}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _inside(name: str) -> bool:
    """Whether a name is that of a visible file below the folder, on any system."""
    parts = name.split("/")
    return all(part and part[0] != "." and not set(part) & set('\\:"<>|?*') for part in parts)


def _keep(folder: Path, pages: Mapping[str, str]) -> None:
    text = json.dumps({"format": _FORMAT, "pages": dict(sorted(pages.items()))}, indent=0)
    put(folder / LIST, (text + "\n").encode("utf-8"))


def _removed(folder: Path, stale: Mapping[str, str]) -> Iterable[str]:
    """Remove files of ours that are no longer made, unless somebody changed them.

    Without a digest a run was stopped while it wrote: then too the file is ours.
    """
    for name, digest in sorted(stale.items()):
        path = folder / name
        if not path.is_file():
            continue
        if digest in ("", hashlib.sha256(path.read_bytes()).hexdigest()):
            path.unlink()
            yield name


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"{error.filename2 or error.filename or folder} cannot be written: "
            f"{error.strerror or error}",
            "Choose another folder for the pages, or free some space.",
        ) from error
