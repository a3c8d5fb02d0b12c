"""Canonical keys of values and SHA-256 digests of files and folders.

A key must be the same on every machine and in every run, so only values with exactly one
spelling are allowed in; file digests are streamed, so a file's size never matters.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON

StrPath = str | os.PathLike[str]
# hashlib releases the GIL for large buffers, and a buffer of this size keeps disks busy.
CHUNK_BYTES = 4 << 20


_PLAIN = frozenset((str, bool, int))
_LEAVES = _PLAIN | {type(None)}


def canonical(value: JSON) -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no spaces, ASCII only.

    Mappings and tuples count as objects and arrays.

    Raises:
        TypeError: The value holds something JSON has no type for, or a key that is no string.
        ValueError: The value holds NaN or an infinity.
    """
    plain = value if _is_plain(value) else _plain(value, "value")
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return text.encode("ascii")


def is_sha256(text: object) -> bool:
    """Whether something is a SHA-256 in lower case."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) is not None


def key_of_parsed(value: JSON) -> str:
    """As :func:`key`, of a value that was read as JSON, so that it holds nothing else.

    Raises:
        ValueError: The value holds NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def key(value: JSON) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _is_plain(value: JSON) -> bool:
    """Whether a value needs no change: for most do not, and saying where it does takes time."""
    kind = type(value)
    if kind is dict:
        for name, one in value.items():
            if type(name) is not str or not (type(one) in _LEAVES or _is_plain(one)):
                return False
        return True
    if kind is list or kind is tuple:
        return all(type(one) in _LEAVES or _is_plain(one) for one in value)
    return kind in _LEAVES or (kind is float and math.isfinite(value))


def _plain(value: JSON, where: str) -> JSON:
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {_name(name, where): _plain(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if type(value) is not float:
        # Subclasses too (enums, numpy numbers): their spelling depends on who writes them.
        raise TypeError(f"{where} is {type(value).__name__}, which JSON does not have")
    if not math.isfinite(value):
        raise ValueError(f"{where} is {value}, which JSON does not have")
    return value


def _name(name: object, where: str) -> str:
    if type(name) is not str:
        raise TypeError(f"{where} has the key {name!r}; JSON keys are strings")
    return name


def file_sha256(path: StrPath, between: Callable[[], None] | None = None) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal, reading it in chunks.

    Args:
        path: The file.
        between: Called after every chunk; what it raises ends the reading.

    Raises:
        OSError: The file cannot be read, or is no regular one: pipes and devices may never end.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    sha256 = hashlib.sha256()
    with Path(path).open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        buffer = memoryview(bytearray(max(1, min(size, CHUNK_BYTES))))
        while count := file.readinto(buffer):
            sha256.update(buffer[:count])
            if between is not None:
                between()
    return sha256.hexdigest()


def tree_files(folder: Path) -> list[str]:
    """Return the relative POSIX paths of all files and symbolic links below a folder, sorted.

    Links are listed and never followed. Empty folders do not count.

    Raises:
        UsageError: The folder holds something that is neither file, folder nor link, or whose
            name is no text.
        OSError: A folder cannot be read.
    """
    found: list[str] = []
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                else:
                    found.append(_regular(entry, folder))
    return sorted(found)


def _regular(entry: os.DirEntry[str], folder: Path) -> str:
    mode = entry.stat(follow_symlinks=False).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise UsageError(
            f"{entry.path} is neither a file, a folder nor a link",
            f"remove it, or copy the files that matter out of {folder}",
        )
    name = Path(entry.path).relative_to(folder).as_posix()
    require_text(name)
    return name


def require_text(name: str) -> None:
    """Refuse a name of a file that no JSON and no database takes.

    Raises:
        UsageError: It is not UTF-8, on systems where names are bytes.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        raise UsageError(
            f"'{shown}' is not UTF-8 text", "Rename the file or folder, or type it in UTF-8."
        )
