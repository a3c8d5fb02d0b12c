"""Unpack a part of a downloaded archive without trusting a byte of it."""

from __future__ import annotations

import errno
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from orchestrator.base import units
from orchestrator.base.errors import EnvironmentProblem, StepError

MAX_BYTES = 8 << 30
MAX_MEMBERS = 200_000
# Texts shrink to a third or a tenth, weights hardly; only a bomb shrinks to a hundredth.
MAX_RATIO = 200
HARMLESS_BYTES = 64 << 20
# What describes one member: its name, or an extended header (pax); paths have 4096 bytes.
MAX_HEADER = 256 << 10
_HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
# What systems say when a member's name is a file's and a folder's, or longer than they allow;
# without a number it is gzip's or bz2's word, with EINVAL a seek to nowhere.
_UNFIT = (None, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
_DAMAGE: tuple[type[Exception], ...] = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(ValueError, OverflowError, NotImplementedError, RuntimeError),
)


def extract_tree(archive: Path, inner: str, dest: Path) -> None:
    """Unpack the folder ``inner`` (below the archive's one top folder) of a tar into ``dest``.

    Only regular files and folders are taken, Python's ``data`` filter decides about each.

    Raises:
        StepError: The archive is damaged, too large, unsafe, or has no such folder.
        EnvironmentProblem: This Python is too old to unpack safely.
    """
    if not hasattr(tarfile, "data_filter"):
        raise EnvironmentProblem(
            "this Python cannot unpack archives safely", "Use Python 3.10.12, 3.11.4 or newer."
        )
    dest.mkdir(parents=True, exist_ok=True)
    with sound(archive.name), tarfile.open(archive, "r:*", tarinfo=_Member) as tar:
        if _extract_members(tar, PurePosixPath(inner), dest, archive.name) == 0:
            raise StepError(f"{archive.name} has no folder {inner!r}")


class _Member(tarfile.TarInfo):
    """A member whose headers are short; tarfile reads them whole, whatever they say they are.

    These methods are where tarfile lets a class of members decide, though it names them so.
    """

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > MAX_HEADER:
            raise StepError(
                f"{Path(str(tar.name)).name} is not a sound archive: a header in it has "
                f"{units.size(self.size)}"
            )
        if self.type == tarfile.GNUTYPE_SPARSE:
            self._refuse_sparse(tar)
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]

    def _refuse_sparse(self, tar: tarfile.TarFile) -> None:
        raise StepError(f"{Path(str(tar.name)).name} holds files with holes: refused")

    def _proc_gnusparse_10(self, _next: object, _headers: object, tar: tarfile.TarFile) -> None:
        self._refuse_sparse(tar)


def _extract_members(tar: tarfile.TarFile, inner: PurePosixPath, dest: Path, name: str) -> int:
    taken = total = 0
    for count, member in enumerate(tar, 1):
        tar.members.clear()  # type: ignore[attr-defined] # each would be kept, headers and all
        total += member.size  # what is skipped is unpacked too, on the way to the next
        if count > MAX_MEMBERS or max(total, tar.offset) > MAX_BYTES:
            raise StepError(
                f"{name} unpacks to more than {units.size(MAX_BYTES)} or {MAX_MEMBERS} files: "
                "refused"
            )
        parts = PurePosixPath(member.name).parts[1:]
        if parts[: len(inner.parts)] != inner.parts or not (member.isfile() or member.isdir()):
            continue
        taken += 1
        rest = parts[len(inner.parts) :]
        if rest:
            renamed = member.replace(name="/".join(rest), deep=False)
            tar.extract(renamed, dest, filter="data")
            if member.isdir() != dest.joinpath(*rest).is_dir():  # some Pythons keep the file
                raise ValueError("a member is a file and a folder")
    return taken


def extract_member(archive: Path, inner: str, dest: Path) -> None:
    """Write the one file ``inner`` of a zip (a wheel, a data set) to ``dest``.

    Raises:
        StepError: The zip is damaged or has no such file, or the file lies about its size
            or shrinks as no real file does.
    """
    with sound(archive.name), zipfile.ZipFile(archive) as bundle:
        if inner not in bundle.namelist():
            raise StepError(f"{archive.name} has no file {inner!r}")
        info = bundle.getinfo(inner)
        if info.file_size > max(HARMLESS_BYTES, MAX_RATIO * info.compress_size):
            raise StepError(
                f"{inner} in {archive.name} would expand from {info.compress_size} to "
                f"{info.file_size} bytes: refused"
            )
        with bundle.open(info) as source, dest.open("wb") as out:
            shutil.copyfileobj(_Limited(source, info.file_size), out, 1 << 20)


class _Limited:
    """A reader that stops a member which holds more than its header promised."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source = source
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes."""
        chunk = self._source.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise ValueError("a member is larger than its header says")
        return chunk


@contextmanager
def sound(name: str) -> Iterator[None]:
    """Say of whatever the readers of archives stumble over that the archive is damaged.

    Raises:
        StepError: It is.
    """
    try:
        yield
    except (*_DAMAGE, *_lzma_error()) as error:
        raise _unsound(name, error) from error
    except OSError as error:
        if error.errno not in _UNFIT:
            raise
        raise _unsound(name, error) from error


def _unsound(name: str, error: Exception) -> StepError:
    why = str(error).partition("\n")[0].rstrip(": ")
    return StepError(f"{name} is not a sound archive: {why or type(error).__name__}")


def _lzma_error() -> tuple[type[Exception], ...]:
    """Some Pythons are built without lzma."""
    try:
        import lzma  # noqa: PLC0415
    except ImportError:
        return ()
    return (lzma.LZMAError,)
