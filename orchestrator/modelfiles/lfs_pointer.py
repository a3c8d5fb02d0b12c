"""Files of a few lines that stand for large ones in a git repository without git-lfs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from orchestrator.base.errors import ExplainedFailure

_BEGINS = b"version https://git-lfs.github.com/spec/"
_LARGEST = 1024


def refuse(files: Iterable[tuple[str, Path]]) -> None:
    """Look at files by their names.

    Raises:
        ExplainedFailure: One of them is a pointer; names all of them.
    """
    found = [name for name, path in files if _is_pointer(path)]
    if found:
        raise ExplainedFailure(
            f"{', '.join(found)}: only what git-lfs left in place of the file",
            "Run 'git lfs install' and 'git lfs pull' in the folder of the model.",
        )


def _is_pointer(path: Path) -> bool:
    if path.stat().st_size > _LARGEST:
        return False
    with path.open("rb") as file:
        return file.read(len(_BEGINS)) == _BEGINS
