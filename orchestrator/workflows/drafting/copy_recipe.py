"""Copy a recipe that comes along, with all that it needs, into a folder of the user's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import installed_data
from orchestrator.base.atomic_file import put
from orchestrator.base.errors import UsageError, problem_of
from orchestrator.base.near_match import near
from orchestrator.recipe import extends
from orchestrator.runs import find_recipes
from orchestrator.workflows.drafting import editor_schema

_EXTENDS = re.compile(r"^extends:[ \t]*(\S+)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Copied:
    """The recipe, all files that were written, and paths that the user has to fill."""

    recipe: Path
    files: tuple[Path, ...]
    missing: tuple[Path, ...]


def copy(name: str, to: Path | None = None) -> Copied:
    """Copy a recipe, those that it extends, and the models and texts that come with them.

    Relative paths stay as they are and mean the copies, so the recipe keeps its digest.

    Args:
        name: The recipe's name.
        to: A folder, or the file to write; NAME.yaml in the current folder without it.

    Raises:
        UsageError: There is no such recipe, or a file would be overwritten.
        EnvironmentProblem: Something cannot be written.
    """
    known = installed_data.recipes()
    if name not in known:
        raise UsageError(
            f"there is no recipe {name!r}{near(name, known)}",
            "'orchestrate recipes' lists the included recipes.",
        )
    place = to or Path()
    target = place if place.suffix in find_recipes.SUFFIXES else place / f"{name}.yaml"
    if target.exists():
        raise _exists(target)
    pieces = dict(_pieces(known[name], target))
    for path, content in pieces.items():
        if path.exists() and path.read_bytes() != content:
            raise _exists(path)
    missing = tuple(_missing(known[name], target.parent))
    try:
        written = tuple(path for path, content in pieces.items() if put(path, content))
    except OSError as error:
        raise problem_of(error) from error
    if editor_schema.near(target.parent) is None:
        written += (editor_schema.write(target.parent),)
    return Copied(target, written, missing)


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists already", "Name another folder or file to copy to.")


def _pieces(recipe: Path, target: Path) -> Iterator[tuple[Path, bytes]]:
    """What is written where: the recipe, what it extends, their models and texts."""
    folder = target.parent
    text = recipe.read_text("utf-8")
    parent = _parent(recipe, text)
    if parent is not None:
        beside = folder / f"{_name(parent)}.yaml"
        text = _EXTENDS.sub(f"extends: {beside.name}", text)
        yield from _pieces(parent, beside)
    for own in extends.own_paths(recipe):
        for file in _files(recipe.parent / own):
            yield folder / file.relative_to(recipe.parent), file.read_bytes()
    yield target, editor_schema.with_line(text, folder).encode("utf-8")


def _parent(recipe: Path, text: str) -> Path | None:
    found = _EXTENDS.search(text)
    return None if found is None else extends.parent_file(recipe, found[1]).resolve()


def _name(recipe: Path) -> str:
    names = installed_data.recipes().items()
    return next(name for name, path in names if path.resolve() == recipe)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = (one for one in path.rglob("*") if one.parent.name != "__pycache__")
        return sorted(one for one in found if one.is_file())
    return [path] if path.is_file() else []


def _missing(recipe: Path, folder: Path) -> Iterator[Path]:
    """Where files belong that do not come along, such as weights that nobody may pass on."""
    for own in extends.own_paths(recipe):
        if not (recipe.parent / own).exists():
            yield folder / own
    parent = _parent(recipe, recipe.read_text("utf-8"))
    if parent is not None:
        yield from _missing(parent, folder)
