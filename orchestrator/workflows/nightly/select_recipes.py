"""Which recipes a night is about: files and folders, narrowed by a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.planning import lockfile


def recipes(paths: Sequence[Path], select: str = "") -> list[Path]:
    """The recipes among files and below folders, in the order of their names.

    Args:
        paths: Recipes and folders; locks are passed over.
        select: A pattern such as ``*-7b*``, for the file's name without its suffix or for
            its path.

    Raises:
        UsageError: Something does not exist, or nothing is left.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"{missing[0]} does not exist", "Name recipes or folders of recipes.")
    found = [file for path in paths for file in (_below(path) if path.is_dir() else [path])]
    known = {file.resolve(): file for file in found if not lockfile.is_lock(file)}
    chosen = [file for file in known.values() if not select or _matches(file, select)]
    if not chosen:
        where = ", ".join(map(str, paths))
        raise UsageError(
            f"there is no recipe in {where}" + (f" that matches {select!r}" if select else ""),
            "Recipes are files that end in .yaml.",
        )
    return chosen


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.yaml") if path.is_file())


def _matches(file: Path, select: str) -> bool:
    return any(fnmatchcase(name, select) for name in (file.stem, file.name, file.as_posix()))
