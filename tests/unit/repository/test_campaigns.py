"""Short rounds of the campaigns that need no tools, and that they would see a fault."""

from __future__ import annotations

import html
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.base import safe_text
from orchestrator.sources import archive
from tests.support.campaigns import archives, children, limits, texts
from tests.support.campaigns.after_every_try import Place, after_every_try
from tests.support.stores import open_store, put


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("name", "seconds", "least"), [("fuzz", 8.0, 150), ("archives", 4.0, 30), ("texts", 6.0, 2)]
)
def test_a_short_round_finds_nothing(name: str, seconds: float, least: int, tmp_path: Path) -> None:
    report = children.round_of(name, tmp_path, seed=1, seconds=seconds, least=least)

    assert report.faults == []
    assert report.tries >= least


def test_errors_of_python_and_too_much_memory_are_faults() -> None:
    assert limits.within_limits(lambda: 1 // 0, 0)[0] == "bug"
    assert "MemoryError" in limits.within_limits(lambda: bytes(2 * limits.BYTES), 0)[1]
    assert limits.within_limits(lambda: None, 0) == ("done", "")


def test_a_child_that_is_ended_is_a_fault(tmp_path: Path) -> None:
    report = children.round_of("no such campaign", tmp_path, seed=1, seconds=0)

    assert report.faults == ["seed 1: no such campaign: it was ended: exit 1"]


def test_archives_unpacked_without_care_are_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(_made: Path, _inner: str, inside: Path) -> None:
        (inside / "link").symlink_to("/etc")
        (inside.parent / "evil").touch(0o4755)

    monkeypatch.setattr(archive, "extract_tree", careless)
    _, kind, found = archives.attempt(2, tmp_path)

    assert kind == "done"
    for fault in ("outside the folder: a/b/evil", "no file or folder: a/b/inside/link"):
        assert fault in found
    assert "odd rights: 0o104755" in found


def test_texts_that_a_terminal_gets_raw_are_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_text, "_visible", lambda text, keep: text)

    assert "the terminal got" in texts.attempt(1, tmp_path)[2]


@pytest.mark.parametrize(
    "page",
    ["<script>alert(7)</script>", "[x](javascript:alert(7))", "# evil", "a\x1bb", "a\u202eb"],
)
def test_texts_that_are_live_in_markdown_are_faults(page: str) -> None:
    assert len(list(texts.in_markdown(page))) == 1
    assert list(texts.in_markdown(f"`{page!a}`")) == []


@pytest.mark.parametrize(
    "page",
    ["<script>alert(7)</script>", "<a href='javascript:alert(7)'>", "<img onerror=alert(7)>"],
)
def test_texts_that_are_live_in_a_page_are_faults(page: str) -> None:
    assert len(list(texts.in_html(page))) == 1
    assert list(texts.in_html(html.escape(page))) == []


def test_what_is_wrong_after_a_try_is_seen(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path)
    for folder in (place.home, place.temporary, place.dist):
        folder.mkdir()
    (place.dist / "a").write_bytes(b"1")
    (place.dist / "SHA256SUMS").write_text(f"{sha256(b'1').hexdigest()}  a\n")
    store = open_store(place.store)
    file = put(store, {"model.gguf": b"GGUF"}).path / "model.gguf"
    assert after_every_try(place, tidy=True) == []

    (place.store / "staging").mkdir(exist_ok=True)
    for stranger in ("evil", "home/evil", "temporary/evil", "store/staging/evil"):
        (tmp_path / stranger).touch()
    (place.store / "history.sqlite").write_bytes(b"no database" * 100)
    (place.dist / "a").write_bytes(b"2")
    file.chmod(0o644)
    file.write_bytes(b"GGUX")

    found = "\n".join(after_every_try(place, tidy=True))
    for what in (
        *("outside: ", "in the home: ", "left behind: ", "in staging: evil"),
        *("history.sqlite: file is not a database", "a is not what SHA256SUMS says"),
        "store verify: ",
    ):
        assert what in found
