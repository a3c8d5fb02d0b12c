"""Where things stand: rooms of the package, tests in the same rooms, paths that documents name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOUSE = ROOT / "orchestrator"
UNIT = ROOT / "tests" / "unit"
MOST_AT_THE_TOP = 16


def test_the_package_has_few_rooms() -> None:
    entries = [one for one in HOUSE.iterdir() if one.name != "__pycache__"]

    assert len(entries) <= MOST_AT_THE_TOP
    assert {one.name for one in entries if one.suffix == ".py"} == {
        "__init__.py",
        "__main__.py",
        "cli.py",
    }


def test_tests_stand_in_the_rooms_of_what_they_test() -> None:
    rooms = {path.parent.relative_to(HOUSE) for path in HOUSE.rglob("*.py")}
    rooms.add(Path("repository"))
    strange = {
        path.parent.relative_to(UNIT)
        for path in UNIT.rglob("test_*.py")
        if path.parent.relative_to(UNIT) not in rooms
    }

    assert not strange


def test_no_test_imports_another_test() -> None:
    imported = [
        f"{path.relative_to(ROOT)}: {node.module}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        if re.search(r"^tests\..*\.(test_\w+|conftest)$", node.module)
    ]

    assert not imported


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/explanation/architecture.md"])
def test_every_path_that_is_named_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?(?:\.\w+)?)`", text)
    paths = [one for one in named if "/" in one or one.endswith(".py")]
    found = [ROOT, HOUSE, HOUSE / "commands"]

    assert paths
    assert not [one for one in paths if not any((base / one).exists() for base in found)]
