"""One file in two places without a second copy, where the file system allows that."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Literal

from orchestrator.base.errors import StepError

Way = Literal["hard link", "reflink", "copy"]

# _IOW(0x94, 9, int) of linux/fs.h: the target shares the source's blocks until one changes.
_FICLONE = 0x40049409
# What the kernel says when two places cannot share a file: another disk, a file system
# without links, a limit of links, or the rule against linking other people's files.
_NO_LINK = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP}
)


def borrow(source: Path, target: Path) -> Path:
    """Make ``source`` readable as ``target``, for a tool that is given bare file names.

    A symbolic link; a hard link or a copy where those are not allowed (Windows).

    Returns:
        ``target``.

    Raises:
        OSError: The source cannot be read or the target cannot be written.
    """
    try:
        target.symlink_to(source.resolve(strict=True))
    except OSError as error:
        if isinstance(error, FileExistsError | FileNotFoundError):
            raise
        place(source, target)
    return target


def only_file(folder: Path, name: str = "") -> Path:
    """The file of this name, or without a name the one file that the folder holds.

    Raises:
        StepError: There is no such file, or there are several and no name.
    """
    if name:
        found = [folder / name] if (folder / name).is_file() else []
    else:
        found = sorted(path for path in folder.iterdir() if path.is_file())
    if len(found) != 1:
        wanted = f"no file {name!r}" if name else f"{len(found)} files, not one"
        raise StepError(f"{folder} holds {wanted}", "Name the file in the recipe.")
    return found[0]


def place(source: Path, target: Path) -> Way:
    """Put the bytes of ``source`` at ``target``, which must not exist, as cheaply as possible.

    A reflink where the file system has them: then a change of one file leaves the other as it
    was. Else a hard link, and a copy where that is not allowed.

    Raises:
        OSError: The source cannot be read or the target cannot be written.
    """
    if _reflink(source, target):
        return "reflink"
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return copy(source, target)
    return "hard link"


def copy(source: Path, target: Path) -> Way:
    """Put the bytes of ``source`` into a file of their own at ``target``, which must not exist.

    A reflink or a copy; either has the source's modification time and permissions.

    Raises:
        OSError: The source cannot be read or the target cannot be written.
    """
    if _reflink(source, target):
        return "reflink"
    with source.open("rb") as read, target.open("xb") as write:
        shutil.copyfileobj(read, write, 1 << 20)
    shutil.copystat(source, target)
    return "copy"


def _reflink(source: Path, target: Path) -> bool:
    """Make ``target`` a reflink of ``source``; False, and no file, where that cannot be."""
    if sys.platform != "linux":
        return False
    with source.open("rb") as read, target.open("xb") as write:
        made = _reflinked(read.fileno(), write.fileno())
    if made:
        shutil.copystat(source, target)
    else:
        target.unlink()
    return made


def _reflinked(source: int, target: int) -> bool:
    """Ask Linux for a reflink; False where the file system has none."""
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    return True
