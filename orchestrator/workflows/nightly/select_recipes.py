"""Which recipes a night is about: files, folders and names, narrowed by a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.runs import find_recipes


def recipes(paths: Sequence[Path], select: str = "") -> list[Path]:
    """The recipes that are named, by files, folders or names.

    Args:
        paths: As :func:`orchestrator.runs.find_recipes.files` takes them.
        select: A pattern such as ``*-7b*``, for the file's name without its suffix or for
            its path.

    Raises:
        UsageError: Something does not exist, or nothing is left.
    """
    found = find_recipes.files(paths)
    missing = [path for path in found if not path.is_file()]
    if missing:
        raise UsageError(f"{missing[0]} does not exist", "Name recipes or folders of recipes.")
    chosen = [file for file in found if not select or _matches(file, select)]
    if not chosen:
        where = ", ".join(map(str, paths))
        raise UsageError(
            f"there is no recipe in {where} that matches {select!r}",
            "The pattern is for names and paths of files that end in .yaml.",
        )
    return chosen


def _matches(file: Path, select: str) -> bool:
    return any(fnmatchcase(name, select) for name in (file.stem, file.name, file.as_posix()))
