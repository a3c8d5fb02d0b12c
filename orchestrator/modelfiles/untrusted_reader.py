"""Forward reading of untrusted binary headers.

Every length is compared with what the file still holds before a byte is read, and the
bytes that one header may keep in memory are limited, so a file of a few bytes that claims
2^60 items costs nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.base import units
from orchestrator.modelfiles.format_error import FormatError, malformed

MAX_HEADER_BYTES = 256 << 20
MAX_LISTED_TEXT = 1 << 20

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


@dataclass(frozen=True)
class Strings:
    """A run of length-prefixed strings that was walked, not kept.

    Attributes:
        count: How many strings.
        text: Their bytes without the prefixes.
        c_text: The same, each string cut at its first NUL, as a copy through C does.
    """

    count: int
    text: int
    c_text: int


@dataclass(frozen=True)
class _Walked:
    """A run that was walked: its bytes' number and digest, and what was found."""

    end: int
    digest: bytes
    strings: Strings


# A vocabulary takes a twentieth of a second to walk, and each file of a model has the same one.
_WALKED: dict[tuple[int, bool, int, bytes], _Walked] = {}
_WORTH_KEEPING, _MAX_WALKED = 1000, 64


class Reader:
    """A cursor over one file; every ``take`` and ``skip`` raises FormatError at the end.

    ``path`` is only used in messages; ``size`` is the file's length in bytes.
    """

    def __init__(self, file: BinaryIO, path: Path | str, size: int) -> None:
        self.path = path
        self.size = size
        self.position = 0
        self._file = file
        self._kept = 0

    @property
    def remaining(self) -> int:
        """Bytes from the cursor to the end of the file."""
        return self.size - self.position

    def error(self, problem: str, at: int | None = None) -> FormatError:
        """A FormatError at the cursor, or at the byte ``at``."""
        return malformed(self.path, self.position if at is None else at, problem)

    def need(self, count: int, what: str) -> None:
        """Check that ``count`` more bytes exist."""
        if count < 0 or count > self.remaining:
            needed = units.plural(count, "byte")
            raise self.error(f"{what} needs {needed} but the file has {self.remaining} more")

    def take(self, count: int, what: str) -> bytes:
        """The next ``count`` bytes."""
        self.need(count, what)
        self._kept += count
        if self._kept > MAX_HEADER_BYTES:
            raise self.error(f"the header keeps more than {MAX_HEADER_BYTES} bytes up to {what}")
        data = self._file.read(count)
        if len(data) != count:
            raise self.error(f"the file became shorter while {what} was read")
        self.position += count
        return data

    def skip(self, count: int, what: str) -> None:
        """Move the cursor without reading."""
        self.need(count, what)
        self.position += count
        self._file.seek(self.position)

    def u32(self, what: str) -> int:
        """An unsigned 32-bit little-endian number."""
        return int(_U32.unpack(self.take(4, what))[0])

    def u64(self, what: str) -> int:
        """An unsigned 64-bit little-endian number."""
        return int(_U64.unpack(self.take(8, what))[0])

    def text(self, count: int, what: str, limit: int) -> str:
        """``count`` bytes as UTF-8."""
        if count > limit:
            raise self.error(f"{what} claims {count} bytes, more than the {limit} allowed")
        start = self.position
        try:
            return self.take(count, what).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(f"{what} is not UTF-8", start + error.start) from error

    def skip_strings(self, count: int, wide: bool, trailer: int, what: str) -> Strings:
        """Walk ``count`` strings, each a length (8 bytes if ``wide``, else 4), text, trailer."""
        prefix = _U64 if wide else _U32
        self.need(count * (prefix.size + trailer), what)
        like = count, wide, trailer, self._peek(64)
        known = _WALKED.get(like)
        if known is not None and self._digest(known.end) == known.digest:
            self.skip(known.end, what)
            return known.strings
        walked = self._walk_strings(count, prefix, trailer, what)
        if count >= _WORTH_KEEPING:
            if len(_WALKED) >= _MAX_WALKED:
                _WALKED.clear()
            _WALKED[like] = walked
        return walked.strings

    def _digest(self, count: int) -> bytes:
        """The SHA-256 of the next bytes, or of fewer where the file ends; the cursor stays."""
        digest = hashlib.sha256()
        while count and (block := self._file.read(min(count, MAX_LISTED_TEXT))):
            digest.update(block)
            count -= len(block)
        self._file.seek(self.position)
        return digest.digest()

    def _walk_strings(self, count: int, prefix: struct.Struct, trailer: int, what: str) -> _Walked:
        start, digest = self.position, hashlib.sha256()
        done = text = c_text = 0
        while done < count:
            block = self._peek(MAX_LISTED_TEXT + prefix.size + trailer)
            seen, used, found, kept = _walk(block, count - done, prefix, trailer)
            if not seen:
                raise self._bad_string(prefix, trailer, f"{what} {done}")
            done, text, c_text = done + seen, text + found, c_text + kept
            digest.update(memoryview(block)[:used])
            self.skip(used, what)
        strings = Strings(count, text, c_text)
        return _Walked(self.position - start, digest.digest(), strings)

    def _peek(self, count: int) -> bytes:
        block = self._file.read(min(count, self.remaining))
        self._file.seek(self.position)
        return block

    def _bad_string(self, prefix: struct.Struct, trailer: int, what: str) -> FormatError:
        start = self.position
        length = prefix.unpack(self.take(prefix.size, what))[0]
        if length + trailer > self.remaining:
            left = self.remaining
            claimed = units.plural(length, "byte")
            return self.error(f"{what} claims {claimed} but the file has {left} more", start)
        return self.error(f"{what} claims {length} bytes, over the limit for a list", start)


def _walk(
    block: bytes, count: int, prefix: struct.Struct, trailer: int
) -> tuple[int, int, int, int]:
    """Strings that lie wholly in ``block``: how many, bytes used, text, text before NULs."""
    seen = position = text = c_text = 0
    last = len(block) - prefix.size
    while seen < count and position <= last:
        start = position + prefix.size
        length = prefix.unpack_from(block, position)[0]
        end = start + length
        if end + trailer > len(block):
            break
        nul = block.find(b"\0", start, end)
        text += length
        c_text += length if nul < 0 else nul - start
        position = end + trailer
        seen += 1
    return seen, position, text, c_text


@contextmanager
def open_reader(path: Path | str) -> Iterator[Reader]:
    """Open a regular file for reading; what cannot be read is a FormatError too."""
    try:
        with _open_regular(Path(path)) as file:
            yield Reader(file, path, os.fstat(file.fileno()).st_size)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FormatError(f"{path}: cannot be read: {reason}", "Check the path.") from error


def _open_regular(path: Path) -> BinaryIO:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would block
        raise malformed(path, 0, "this is not a regular file")
    return path.open("rb")
