"""Texts that would be measured as something else, refused or described, in pieces of any size."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.sources import text_corpus


@pytest.fixture(params=[4, 7, 1 << 20], autouse=True)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places and counts do not depend on the size of what is read at a time."""
    monkeypatch.setattr(text_corpus, "_CHUNK", request.param)


def notes(folder: Path, data: bytes) -> list[str]:
    (folder / "t.txt").write_bytes(data)
    return text_corpus.notes(folder / "t.txt", "t.txt")


def test_plain_text_needs_no_word(tmp_path: Path) -> None:
    assert notes(tmp_path, "Ein Märchen.\n日本語 🦙\n".encode()) == []
    assert notes(tmp_path, b"") == []


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("ab\n".encode("utf-16"), "line 1, byte 1: it is UTF-16"),
        ("ab\n".encode("utf-16-be"), "line 1, byte 1: a NUL byte"),
        (b"one\ntwo\0", "line 2, byte 8: a NUL byte"),
        (b"one\ncaf\xe9 au lait", r"line 2, byte 8: bytes that are no UTF-8 \(e9\)"),
        (b"one\n\xc3\xa9t\xff", r"line 2, byte 8: bytes that are no UTF-8 \(ff\)"),
        (b"one\n\xc3", "line 2, byte 5: the text ends within a character"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(tmp_path: Path, data: bytes, place: str) -> None:
    with pytest.raises(UsageError, match=rf"^t\.txt: {place}"):
        notes(tmp_path, data)


def test_what_moves_numbers_a_little_is_said(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbfone\r\ntwo\r\nthree\n<|im_start|>user</s>"

    found = notes(tmp_path, data)

    assert found == [
        "t.txt begins with a byte order mark, which is measured as text.",
        "t.txt has Windows line ends (2 of 3 lines), which are measured as text.",
        "t.txt holds 2 special tokens such as <|im_start|>; the tools read them as plain text.",
    ]
