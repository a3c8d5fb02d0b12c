"""Texts that are written out only when something changed: nothing else may go unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.engine.digest_cache import Digests
from orchestrator.runs import small_text
from orchestrator.runs.small_text import Text


class Maker:
    """Counts how often it is asked for a text."""

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, 0

    def __call__(self) -> str:
        self.asked += 1
        return self.text


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    return Digests(tmp_path / "store" / "digests.sqlite", pytest.fail)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.md"


def test_a_text_is_made_once_while_nothing_changes(digests: Digests, path: Path) -> None:
    maker = Maker("told\n")

    first = Text({"a": 1}, maker).bring(path, digests)
    before = path.stat()
    again = Text({"a": 1}, maker).bring(path, digests)

    assert (maker.asked, path.read_text()) == (1, "told\n")
    assert first == again == {"size": 5, "sha256": first["sha256"]}
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_another_basis_makes_another_text(digests: Digests, path: Path) -> None:
    Text({"a": 1}, Maker("one")).bring(path, digests)

    Text({"a": 2}, Maker("two")).bring(path, digests)

    assert path.read_text() == "two"


@pytest.mark.parametrize("change", ["edited", "of equal size", "removed"])
def test_a_changed_file_is_made_anew(digests: Digests, path: Path, change: str) -> None:
    text = Text({}, Maker("told"))
    text.bring(path, digests)
    if change == "removed":
        path.unlink()
    else:
        path.write_text("tolD" if change == "of equal size" else "more than was told")

    text.bring(path, digests)

    assert path.read_text() == "told"


def test_another_place_has_its_own(digests: Digests, path: Path) -> None:
    Text({}, Maker("told")).bring(path, digests)

    Text({}, Maker("told")).bring(path.with_name("other.md"), digests)

    assert path.with_name("other.md").read_text() == "told"


@pytest.mark.parametrize("what", ["__version__", "_PROGRAM"])
def test_another_program_makes_it_anew(
    digests: Digests, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    Text({}, Maker("old")).bring(path, digests)
    monkeypatch.setattr(small_text, what, "9.9" if what == "__version__" else tmp_path)
    small_text._program.cache_clear()
    try:
        Text({}, Maker("new")).bring(path, digests)
    finally:
        small_text._program.cache_clear()

    assert path.read_text() == "new"


def test_without_a_store_that_remembers_it_is_made_each_time(tmp_path: Path, path: Path) -> None:
    warned: list[str] = []
    (tmp_path / "digests.sqlite").mkdir()
    digests = Digests(tmp_path / "digests.sqlite", warned.append)
    maker = Maker("told")

    Text({}, maker).bring(path, digests)
    Text({}, maker).bring(path, digests)

    assert (maker.asked, path.read_text(), len(warned)) == (2, "told", 1)
