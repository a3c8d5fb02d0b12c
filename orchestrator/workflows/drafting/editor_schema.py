"""The line by which editors find the JSON Schema of recipes, and the schema beside recipes.

yaml-language-server takes addresses, absolute paths and paths relative to the YAML file. Only a
relative one holds on another machine and tells nobody where this program is installed.
"""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.base.atomic_file import put
from orchestrator.base.errors import problem_of
from orchestrator.recipe import schema_text
from orchestrator.runs.load_and_plan import vocabularies

FILE = "recipe.schema.json"
_LINE = "# yaml-language-server: $schema="


def write(folder: Path) -> Path:
    """Write the schema of this version into a folder of recipes; the file.

    It offers what the tool chains that these recipes can use allow.

    Raises:
        EnvironmentProblem: It cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        put(folder / FILE, schema_text(vocabularies(folder)).encode("utf-8"))
    except OSError as error:
        raise problem_of(error) from error
    return folder / FILE


def near(folder: Path) -> Path | None:
    """The schema in a folder or above it, also in a folder ``docs`` there."""
    above = (folder.absolute(), *folder.absolute().parents)
    places = (place for one in above for place in (one / FILE, one / "docs" / FILE))
    return next((place for place in places if place.is_file()), None)


def line(folder: Path) -> str:
    """The first line of a recipe in a folder, for a schema that is near or will be beside it."""
    found = near(folder) or folder.absolute() / FILE
    reference = Path(os.path.relpath(found, folder.absolute())).as_posix()
    return f"{_LINE}{reference}\n"


def with_line(text: str, folder: Path) -> str:
    """A recipe's text with that line first, instead of the one that it had."""
    kept = [one for one in text.splitlines(keepends=True) if not one.startswith(_LINE)]
    return line(folder) + "".join(kept)
