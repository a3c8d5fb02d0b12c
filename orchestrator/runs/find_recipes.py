"""Which recipes a user means: files, those in folders, and those that come along, by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.base import installed_data
from orchestrator.base.errors import UsageError
from orchestrator.base.near_match import near
from orchestrator.planning import lockfile

SUFFIXES = (".yaml", ".yml")
_MODELS = (".gguf", ".safetensors")
_OF_A_MODEL = (
    "'orchestrate verify FILE' measures it, 'orchestrate chat FILE' talks to it, 'orchestrate "
    "adopt FILE' writes the recipe that makes it; a recipe names it by 'model: {path: FILE}'."
)
_TOOLCHAIN = "toolchain.yaml"


def files(words: Sequence[Path]) -> list[Path]:
    """The files of recipes, each once, in the order in which they were named.

    A file of that name comes before a recipe that comes along, and that before a folder; a
    folder stands for the recipes below it, by name. Locks are passed over, since
    ``recipes/*.yaml`` names them too.

    Raises:
        UsageError: Nobody knows a name, a folder has no recipe, or there are only locks.
    """
    found = [file for word in words for file in _meant(word)]
    known = {os.path.realpath(file): file for file in reversed(found) if not lockfile.is_lock(file)}
    if found and not known:
        raise UsageError(f"{found[0]} is a lock", "Name the recipe that it belongs to.")
    return [file for file in found if known.get(os.path.realpath(file)) is file]


def one(word: Path) -> Path:
    """The file of a single recipe.

    Raises:
        UsageError: As :func:`files`, or a folder holds several.
    """
    found = files([word])
    if len(found) > 1:
        raise UsageError(f"{word} holds {len(found)} recipes", "Name one of them.")
    return found[0]


def _meant(word: Path) -> list[Path]:
    if word.is_file():
        if word.suffix in _MODELS:
            raise UsageError(f"{word} is a model, not a recipe", _OF_A_MODEL)
        return [word]
    known = installed_data.recipes()
    if str(word) in known:
        return [known[str(word)]]
    if word.is_dir():
        return _inside(word)
    if word.suffix in SUFFIXES or len(word.parts) > 1:
        return [word]  # reading it says what is wrong, together with all else that is
    raise UsageError(
        f"there is no file, folder or recipe {str(word)!r}{near(str(word), known)}",
        "'orchestrate recipes' lists the included recipes.",
    )


def _inside(folder: Path) -> list[Path]:
    found = sorted(_below(folder))
    if not found and (folder / "config.json").is_file():
        what = f"{folder} is the folder of a model, and holds no recipe"
        raise UsageError(what, f"Write a recipe that names it: 'model: {{path: {folder}}}'.")
    if not found:
        raise UsageError(f"there is no recipe in {folder}", "Recipes are files that end in .yaml.")
    return found


def _below(folder: Path) -> Iterator[Path]:
    """YAML files, without what is hidden and without the data of tool chains."""
    for place, folders, names in os.walk(folder):
        if _TOOLCHAIN in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        wanted = [name for name in names if name.endswith(".yaml") and not name.startswith(".")]
        found = (Path(place, name) for name in wanted if not lockfile.is_lock(Path(name)))
        yield from (path for path in found if path.is_file())  # reading a pipe would block
