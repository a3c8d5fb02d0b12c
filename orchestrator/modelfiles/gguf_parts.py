"""A GGUF model in several files, as llama-gguf-split writes them and llama.cpp loads them."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.base import units
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.format_error import FormatError

# As llama-gguf-split names them, and as llama.cpp wants them to be named.
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def named(path: Path) -> tuple[Path, ...]:
    """All parts of the set that a file belongs to by its name, the first one first.

    They need not be there; a file that is not named like a part is a set of its own.
    """
    name = _PART.fullmatch(path.name)
    if name is None:
        return (path,)
    stem, count = name["stem"], int(name["count"])
    return tuple(
        path.with_name(f"{stem}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)
    )


def only_set(folder: Path) -> Path | None:
    """A file of the one set, or the one file, in a folder; None when there are several, or none."""
    found = {named(path): path for path in sorted(folder.glob("*.gguf"), reverse=True)}
    return found.popitem()[1] if len(found) == 1 else None


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
    parts = [_part(part, path, number, count) for number, part in enumerate(paths)]
    stated = parts[0].metadata.get("split.tensors.count")
    found = sum(len(one.tensors) for one in parts)
    if stated not in (None, found):
        raise FormatError(
            f"The parts of {path} hold {units.plural(found, 'tensor')}, not {stated}."
        )
    return parts


def _part(part: Path, path: Path, number: int, count: int) -> gguf.GGUF:
    if not part.exists():
        raise FormatError(f"{part} is missing: {path} is one of {count} parts.", "Fetch it too.")
    found = gguf.read(part)
    said = found.metadata.get("split.no"), found.metadata.get("split.count")
    if said != (number, count):
        raise FormatError(f"{part} says that it is part {said[0]} (from 0) of {said[1]}.")
    return found
