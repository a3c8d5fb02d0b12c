"""Unpack a part of a downloaded archive without trusting a byte of it."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from orchestrator.errors import EnvironmentProblem, StepError

MAX_BYTES = 8 << 30
MAX_MEMBERS = 200_000


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
    try:
        with tarfile.open(archive, "r:*") as tar:
            if _extract_members(tar, PurePosixPath(inner), dest) == 0:
                raise StepError(f"{archive.name} has no folder {inner!r}")
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise StepError(f"{archive.name} is not a sound archive: {error}") from error


def _extract_members(tar: tarfile.TarFile, inner: PurePosixPath, dest: Path) -> int:
    count = total = 0
    for member in tar:
        parts = PurePosixPath(member.name).parts[1:]
        if parts[: len(inner.parts)] != inner.parts or not (member.isfile() or member.isdir()):
            continue
        count, total = count + 1, total + member.size
        if count > MAX_MEMBERS or total > MAX_BYTES:
            raise StepError(f"{tar.name} unpacks to more than {MAX_BYTES >> 30} GiB: refused")
        rest = parts[len(inner.parts) :]
        if rest:
            renamed = member.replace(name="/".join(rest), deep=False)
            tar.extract(renamed, dest, filter="data")
    return count


def extract_member(archive: Path, inner: str, dest: Path) -> None:
    """Write the one file ``inner`` of a zip (a wheel, a data set) to ``dest``.

    Raises:
        StepError: The zip is damaged or has no such file, or the file lies about its size.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            info = bundle.getinfo(inner)
            with bundle.open(info) as source, dest.open("wb") as out:
                shutil.copyfileobj(_Limited(source, info.file_size), out, 1 << 20)
    except KeyError as error:
        raise StepError(f"{archive.name} has no file {inner!r}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise StepError(f"{archive.name} is not a sound zip: {error}") from error
    except Exception as error:
        # zlib.error and lzma.LZMAError have no common base
        if type(error).__name__ in {"error", "LZMAError"}:
            raise StepError(f"{archive.name} is damaged: {error}") from error
        raise


class _Limited:
    """A reader that stops a member which holds more than its header promised."""

    def __init__(self, source: object, size: int) -> None:
        self._source = source
        self._left = size

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        chunk: bytes = self._source.read(size)  # type: ignore[attr-defined]
        self._left -= len(chunk)
        if self._left < 0:
            raise ValueError("a member is larger than its header says")
        return chunk
