"""A GGUF model in several files, as llama-gguf-split writes them and llama.cpp loads them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from orchestrator.base import units
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.gguf_metadata import stored_bytes

# As llama-gguf-split names them, and as llama.cpp wants them to be named.
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_FIXED = struct.Struct("<4sIQQ")  # magic, version, how many tensors, how many keys


def names(name: str) -> tuple[str, ...]:
    """The names of all parts of the set that a file belongs to by its own, the first one first.

    A file that is not named like a part is a set of its own; ``name`` may have folders before it.
    """
    found = _PART.fullmatch(PurePosixPath(name).name)
    if found is None:
        return (name,)
    count = int(found["count"])
    ends = (f"-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1))
    return tuple(str(PurePosixPath(name).with_name(found["stem"] + end)) for end in ends)


def named(path: Path) -> tuple[Path, ...]:
    """As :func:`names`, of a file in a folder; the others need not be there."""
    return tuple(path.with_name(name) for name in names(path.name))


def only_set(folder: Path) -> Path | None:
    """A file of the one set, or the one file, in a folder; None when there are several, or none."""
    found = {named(path): path for path in sorted(folder.glob("*.gguf"), reverse=True)}
    return found.popitem()[1] if len(found) == 1 else None


def files(path: Path) -> list[Path]:
    """The file itself, or all parts of the model that it is one of.

    Raises:
        FormatError: A part is missing, malformed or of another model.
    """
    return [one.path for one in read(path)] if len(named(path)) > 1 else [path]


def read(path: Path) -> list[gguf.GGUF]:
    """The headers of all parts of the model that a file is, or is any part of.

    Raises:
        FormatError: A part is missing, malformed or of another model.
    """
    first = gguf.read(path)
    count = first.metadata.get("split.count", 0)
    if not isinstance(count, int) or count < 2:
        return [first]
    paths = named(path)
    if len(paths) != count:
        raise FormatError(
            f"{path} is one of {count} parts, but its name does not say which.",
            f"Name the parts NAME-00001-of-{count:05}.gguf and so on, as llama-gguf-split does.",
        )
    for part in paths:
        if not part.exists():
            raise FormatError(
                f"{part} is missing: {path} is one of {count} parts.", "Fetch it too."
            )
    parts = [gguf.read(part) for part in paths]
    check(parts)
    return parts


def check(parts: Sequence[gguf.GGUF]) -> None:
    """Refuse headers that are not all parts of one model, in their order.

    Raises:
        FormatError: A part is of another set, or tensors are missing.
    """
    if len(parts) < 2:
        return
    for number, part in enumerate(parts):
        said = part.metadata.get("split.no"), part.metadata.get("split.count")
        if said != (number, len(parts)):
            raise FormatError(
                f"{part.path} says that it is part {said[0]} (from 0) of {said[1]}, "
                f"not part {number} of {len(parts)}."
            )
    stated = parts[0].metadata.get("split.tensors.count")
    found = sum(len(one.tensors) for one in parts)
    if stated not in (None, found):
        raise FormatError(
            f"The parts of {parts[0].path} hold {units.plural(found, 'tensor')}, not {stated}."
        )


def whole_header(parts: Sequence[gguf.GGUF], start: bytes) -> bytes:
    """The header that the model would have in one file: keys of the first, tensors of all.

    Args:
        parts: The headers of all parts.
        start: The bytes of the first part's.
    """
    first = parts[0]
    keys, at, kept = bytearray(), _FIXED.size, 0
    for key, field in first.fields.items():
        end = at + stored_bytes(key, field)
        if key not in gguf.SPLIT_KEYS:
            keys += start[at:end]
            kept += 1
        at = end
    infos = b"".join(_infos(parts, first.alignment))
    count = sum(len(part.tensors) for part in parts)
    head = _FIXED.pack(gguf.MAGIC, first.version, count, kept) + bytes(keys) + infos
    return head + bytes(gguf.pad(len(head), first.alignment) - len(head))


def _infos(parts: Sequence[gguf.GGUF], alignment: int) -> Iterator[bytes]:
    offset = 0
    for one in (tensor for part in parts for tensor in part.tensors):
        name, dimensions = one.name.encode(), len(one.shape)
        yield struct.pack("<Q", len(name)) + name
        yield struct.pack(f"<I{dimensions}QIQ", dimensions, *one.shape, one.type_id, offset)
        offset = gguf.pad(offset + one.nbytes, alignment)
