"""Texts that models are measured on: what would be measured as something else is found.

The tools take a file's bytes as they are. UTF-16, NUL and broken UTF-8 give numbers that mean
nothing, so they are refused; what moves the numbers a little is only said.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.base import units
from orchestrator.base.errors import UsageError

_CHUNK = 1 << 20
_OVERLAP = 64
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Tokens with which chats and texts begin and end, as tokenizers of many families spell them.
_SPECIAL = re.compile(rb"<\|[\w .:/-]{1,40}\|>|</?s>|<(?:bos|eos|pad|unk)>|\[/?INST\]")


@dataclass(frozen=True)
class _Seen:
    """What was seen of a text so far; places are counted from 1."""

    lines: int = 0
    with_return: int = 0
    special: int = 0
    example: str = ""


def notes(path: Path, name: str) -> list[str]:
    """Sentences about what a text holds beside text.

    Args:
        path: The file; it is read once, a piece at a time.
        name: What sentences call it.

    Raises:
        UsageError: It is no UTF-8 text; says where it stops being one.
    """
    seen, begins = _read(path, name)
    found = []
    if begins.startswith(codecs.BOM_UTF8):
        found.append("begins with a byte order mark, which is measured as text")
    if seen.with_return:
        of_all = f"{seen.with_return} of {units.plural(seen.lines, 'line')}"
        found.append(f"has Windows line ends ({of_all}), which are measured as text")
    if seen.special:
        times = units.plural(seen.special, "special token")
        found.append(f"holds {times} such as {seen.example}; the tools read them as plain text")
    return [f"{name} {sentence}." for sentence in found]


def _read(path: Path, name: str) -> tuple[_Seen, bytes]:
    seen, begins, last = _Seen(), b"", b""
    decoder, at = codecs.getincrementaldecoder("utf-8")(), 0
    for chunk in _chunks(path):
        begins = begins or chunk[:4]
        if begins[:2] in _UTF16:
            raise _refused(name, "line 1, byte 1: it is UTF-16")
        if b"\0" in chunk:
            raise _refused(name, f"{_place(seen, at, chunk, chunk.index(0))}: a NUL byte")
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            wrong = error.object[error.start : error.end].hex(" ")
            place = _place(seen, at, chunk, error.start - waiting)
            raise _refused(name, f"{place}: bytes that are no UTF-8 ({wrong})") from error
        seen, last = _counted(seen, chunk, last), (last + chunk)[-_OVERLAP:]
        at += len(chunk)
    if decoder.getstate()[0]:
        raise _refused(name, f"line {seen.lines + 1}, byte {at}: the text ends within a character")
    return seen, begins


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _place(seen: _Seen, before: int, chunk: bytes, offset: int) -> str:
    line = seen.lines + chunk.count(b"\n", 0, max(offset, 0)) + 1
    return f"line {line}, byte {before + offset + 1}"


def _counted(seen: _Seen, chunk: bytes, last: bytes) -> _Seen:
    split = last.endswith(b"\r") and chunk.startswith(b"\n")
    joined = last + chunk
    ends = [match for match in _SPECIAL.finditer(joined) if match.end() > len(last)]
    example = seen.example or (ends[0][0].decode() if ends else "")
    return replace(
        seen,
        lines=seen.lines + chunk.count(b"\n"),
        with_return=seen.with_return + chunk.count(b"\r\n") + split,
        special=seen.special + len(ends),
        example=example,
    )


def _refused(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name}: {why}",
        "Texts are UTF-8: convert it, such as with 'iconv -f ENCODING -t UTF-8'.",
    )
