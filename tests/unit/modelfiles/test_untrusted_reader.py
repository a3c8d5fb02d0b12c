from __future__ import annotations

import io
import struct

import pytest

from orchestrator.modelfiles import untrusted_reader
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.untrusted_reader import Reader, Strings


def over(data: bytes, size: int | None = None) -> Reader:
    return Reader(io.BytesIO(data), "m.bin", len(data) if size is None else size)


def test_numbers_and_text_move_the_cursor() -> None:
    one = over(struct.pack("<IQ", 7, 2**40) + "ü".encode())
    assert (one.u32("a"), one.u64("b"), one.text(2, "c", 9)) == (7, 2**40, "ü")
    assert (one.position, one.remaining) == (14, 0)


def test_a_file_that_shrinks_while_it_is_read_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"m\.bin: at byte 0: the file became shorter while x"):
        over(b"abc", size=9).take(9, "x")


def test_what_a_header_keeps_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_reader, "MAX_HEADER_BYTES", 10)
    one = over(b"x" * 30)
    one.skip(8, "data")
    one.take(6, "a")
    with pytest.raises(FormatError, match="keeps more than 10 bytes up to b"):
        one.take(5, "b")


def test_a_text_error_names_the_byte() -> None:
    with pytest.raises(FormatError, match="at byte 2: name is not UTF-8"):
        over(b"ab\xffc").text(4, "name", 9)


def test_a_length_below_zero_is_refused() -> None:
    with pytest.raises(FormatError, match="needs -1 bytes"):
        over(b"ab").skip(-1, "x")


def test_strings_are_counted_and_cut_at_nul() -> None:
    texts = [b"abc", b"", b"a\0b", b"\0"]
    data = b"".join(struct.pack("<I", len(one)) + one + b"SCOR" for one in texts)
    one = over(data + b"rest")
    assert one.skip_strings(4, wide=False, trailer=4, what="token") == Strings(4, 7, 4)
    assert one.take(4, "rest") == b"rest"


def test_blocks_of_reading_may_end_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [b"x" * (index % 7) for index in range(200)]
    data = b"".join(struct.pack("<Q", len(one)) + one for one in texts)
    for block in (7, 8, 15, 64):
        monkeypatch.setattr(untrusted_reader, "MAX_LISTED_TEXT", block)
        one = over(data)
        found = one.skip_strings(200, wide=True, trailer=0, what="word")
        assert (found.text, one.remaining) == (sum(map(len, texts)), 0)


def _words(last: bytes) -> bytes:
    """More words than are worth remembering, of which the last differs."""
    words = [b"%06d" % number for number in range(1999)] + [last]
    return b"".join(struct.pack("<Q", len(word)) + word for word in words)


def _found(data: bytes) -> Strings:
    one = over(data + b"rest")
    found = one.skip_strings(2000, wide=True, trailer=0, what="word")
    assert one.take(4, "the rest") == b"rest"
    return found


def test_a_list_is_walked_once_and_another_that_begins_the_same_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(untrusted_reader, "_WALKED", {})
    assert _found(_words(b"short")) == Strings(2000, 11999, 11999)
    assert _found(_words(b"much longer")) == Strings(2000, 12005, 12005)
    assert _found(_words(b"s\0rt")) == Strings(2000, 11998, 11995)

    monkeypatch.setattr(untrusted_reader, "_walk", None)
    assert _found(_words(b"s\0rt")) == Strings(2000, 11998, 11995)


def test_a_list_that_was_walked_and_is_cut_short_is_refused() -> None:
    whole = _words(b"last")
    _found(whole)

    with pytest.raises(FormatError):
        over(whole[:-2]).skip_strings(2000, wide=True, trailer=0, what="word")
