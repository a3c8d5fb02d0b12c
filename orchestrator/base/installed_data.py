"""Where the data is that comes with the program: tool chains, recipes, the schema of recipes.

A wheel holds it in ``orchestrator/_data``, laid out as in a checkout; in a checkout, editable
installs included, it is read where it is edited.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "_data"

ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent
TOOLCHAINS = ROOT / "vendor"
RECIPES = ROOT / "recipes"
SCHEMA = ROOT / "docs" / "recipe.schema.json"


def is_installed(path: Path) -> bool:
    """Whether a file is data of an installation, which users do not write into."""
    return _IN_WHEEL.is_dir() and path.resolve().is_relative_to(_IN_WHEEL)
