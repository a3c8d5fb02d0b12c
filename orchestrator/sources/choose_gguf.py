"""Which GGUF files of a listing or a folder are one model: one, or all parts of a split one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.base.errors import StepError, UsageError
from orchestrator.modelfiles import gguf_parts
from orchestrator.sources.choose_model_files import HubFile, select_files

_SHOWN = 6


def chosen(files: Sequence[HubFile], named: str) -> list[HubFile]:
    """The one model of a listing, or the one that a file's name or pattern means, whole.

    Raises:
        UsageError: There is no such file, or there are several models.
        StepError: A part is missing.
    """
    by_path = {file.path: file for file in files}
    paths = [path for path in by_path if path.endswith(".gguf")]
    if named:
        paths = [file.path for file in select_files(files, [named])]
    sets = sorted({gguf_parts.names(path) for path in paths})
    if len(sets) != 1:
        shown = ", ".join(names[0] for names in sets[:_SHOWN])
        raise UsageError(
            f"There are {len(sets) or 'no'} GGUF models{shown and f': {shown}'}.",
            "Name the one that is meant; of a model in parts, its first part.",
        )
    missing = [name for name in sets[0] if name not in by_path]
    if missing:
        raise StepError(
            f"{sets[0][0]} is one of {len(sets[0])} parts, of which there is no {missing[0]}.",
            "The upload or the download of the model is incomplete.",
        )
    return [by_path[name] for name in sets[0]]


def in_folder(path: Path) -> list[Path]:
    """The files of the one model in a folder, or of the model that a file is or is a part of.

    Raises:
        UsageError: A folder holds no model, or several.
        FormatError: A part is missing, malformed or of another model.
    """
    if not path.is_dir():
        return gguf_parts.files(path)
    found = [
        HubFile(one.name, one.stat().st_size, None, None)
        for one in sorted(path.iterdir())
        if one.is_file()
    ]
    try:
        return gguf_parts.files(path / chosen(found, "")[0].path)
    except UsageError as error:
        error.message = f"{path}: {error.message}"
        raise
