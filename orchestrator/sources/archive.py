"""Unpack a part of a downloaded archive without trusting a byte of it."""

from __future__ import annotations

import errno
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from orchestrator.base import units
from orchestrator.base.errors import StepError

if not hasattr(tarfile, "data_filter"):  # before Python 3.10.12 and 3.11.4, so in Debian 12
    from backports import tarfile  # type: ignore[no-redef]

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
    """
    dest.mkdir(parents=True, exist_ok=True)
    with sound(archive.name), tarfile.open(archive, "r:*", tarinfo=_Member) as tar:
        if _extract_members(tar, PurePosixPath(inner), dest, archive.name) == 0:
            raise StepError(f"{archive.name} has no folder {inner!r}")


def unpack(archive: Path, dest: Path) -> None:
    """Unpack a whole tar or zip into ``dest``: files, folders, and links that stay inside.

    Raises:
        StepError: The archive is damaged, too large or unsafe, or is neither.
    """
    with sound(archive.name):
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, dest)
            return
        with tarfile.open(archive, "r:*", tarinfo=_Member) as tar:
            _extract_members(tar, None, dest, archive.name)


def _unpack_zip(archive: Path, dest: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        infos = [info for info in bundle.infolist() if not info.is_dir()]
        total = sum(info.file_size for info in infos)
        if len(infos) > MAX_MEMBERS or total > MAX_BYTES:
            raise _too_large(archive.name)
        for info in infos:
            parts = PurePosixPath(info.filename).parts
            if ".." in parts or PurePosixPath(info.filename).is_absolute() or "\\" in info.filename:
                raise ValueError(f"a member is called {info.filename!r}")
            target, mode = dest.joinpath(*parts), info.external_attr >> 16
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_member(bundle, info, target, archive.name)
            if stat.S_ISLNK(mode):
                _link(target)
            elif mode & stat.S_IXUSR:
                target.chmod(0o755)


def _link(path: Path) -> None:
    """Make a link of a file that holds what it leads to: a name in the same folder."""
    text = path.read_bytes().decode("utf-8")
    if not text or text in (".", "..") or "/" in text or "\\" in text or len(text) > 255:
        raise ValueError(f"the link {path.name} leads to {text[:80]!r}")
    path.unlink()
    path.symlink_to(text)


def _too_large(name: str) -> StepError:
    return StepError(
        f"{name} unpacks to more than {units.size(MAX_BYTES)} or {MAX_MEMBERS} files: refused"
    )


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


def _extract_members(
    tar: tarfile.TarFile, inner: PurePosixPath | None, dest: Path, name: str
) -> int:
    """How many members were taken: those of the inner folder, or all, links included."""
    taken = total = 0
    for count, member in enumerate(tar, 1):
        tar.members.clear()  # type: ignore[attr-defined] # each would be kept, headers and all
        total += member.size  # what is skipped is unpacked too, on the way to the next
        if count > MAX_MEMBERS or max(total, tar.offset) > MAX_BYTES:
            raise _too_large(name)
        rest = _wanted(member, inner)
        if rest is None:
            continue
        taken += 1
        if rest:
            renamed = member.replace(name="/".join(rest), deep=False)
            tar.extract(renamed, dest, filter="data")
            if member.isdir() != dest.joinpath(*rest).is_dir():  # some Pythons keep the file
                raise ValueError("a member is a file and a folder")
    return taken


def _wanted(member: tarfile.TarInfo, inner: PurePosixPath | None) -> tuple[str, ...] | None:
    """The parts of a member's path below the wanted folder; None if it is not to be taken."""
    parts = PurePosixPath(member.name).parts
    if inner is None:
        return parts if member.isfile() or member.isdir() or member.issym() else None
    within = parts[1 : 1 + len(inner.parts)] == inner.parts
    taken = within and (member.isfile() or member.isdir())
    return parts[1 + len(inner.parts) :] if taken else None


def extract_member(archive: Path, inner: str, dest: Path) -> None:
    """Write the one file ``inner`` of a zip (a wheel, a data set) to ``dest``.

    Raises:
        StepError: The zip is damaged or has no such file, or the file lies about its size
            or shrinks as no real file does.
    """
    with sound(archive.name), zipfile.ZipFile(archive) as bundle:
        if inner not in bundle.namelist():
            raise StepError(f"{archive.name} has no file {inner!r}")
        _write_member(bundle, bundle.getinfo(inner), dest, archive.name)


def _write_member(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, dest: Path, name: str) -> None:
    if info.file_size > max(HARMLESS_BYTES, MAX_RATIO * info.compress_size):
        raise StepError(
            f"{info.filename} in {name} would expand from {info.compress_size} to "
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
