"""Where the data is that comes with the program: tool chains, recipes, the schema of recipes.

A wheel holds it in ``orchestrator/_data``, laid out as in a checkout; in a checkout, editable
installs included, it is read where it is edited.
"""

from __future__ import annotations

import re
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "_data"

ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent
TOOLCHAINS = ROOT / "vendor"
RECIPES = ROOT / "recipes"
SCHEMA = ROOT / "docs" / "recipe.schema.json"
LOCK_SUFFIX = ".lock.yaml"
# YAML is not parsed for it: the shell asks for these names at every Tab.
_NAME = re.compile(r"^name:[ \t]*([A-Za-z0-9._-]+)[ \t]*$", re.MULTILINE)


def is_installed(path: Path) -> bool:
    """Whether a file is data of an installation, which users do not write into."""
    return _IN_WHEEL.is_dir() and path.resolve().is_relative_to(_IN_WHEEL)


def recipes() -> dict[str, Path]:
    """The recipes that come along, by name; empty when the installation lost them."""
    found: dict[str, Path] = {}
    for path in sorted(RECIPES.rglob("*.yaml")):
        if not path.name.endswith(LOCK_SUFFIX):
            name = _NAME.search(path.read_text("utf-8"))
            found.setdefault(name[1] if name else path.stem, path)
    return dict(sorted(found.items()))


def name_of_installed(path: Path) -> str | None:
    """The name of a recipe of an installation; None for a file that users may write beside."""
    if not is_installed(path):
        return None
    whole = path.resolve()
    return next((name for name, one in recipes().items() if one.resolve() == whole), None)
