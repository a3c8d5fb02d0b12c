"""Python code that a model's files bring or name, which no tool sees unless it is trusted.

Transformers follows ``auto_map`` of any configuration file to a class in a ``*.py`` beside it,
in another repository (``org/name--file.Class``) or in any folder (``/path--file.Class``), and
converters ask it to. A tool that finds no ``auto_map`` uses the class that it has itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON

_REFERENCES = "auto_map"
_CODE = frozenset({".py", ".pyc", ".pyd", ".so"})


def remove(folder: Path) -> tuple[str, ...]:
    """Take code, and what refers to code, out of a folder of links or copies.

    Files that are links are replaced, never written through.

    Returns:
        The names of the files that were left out or changed.

    Raises:
        StepError: A configuration file is nested too deeply to be read.
        OSError: A file cannot be read or replaced.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(path.relative_to(folder).as_posix() for path in paths if _changed(path))


@contextmanager
def explained(removed: tuple[str, ...]) -> Iterator[None]:
    """Add to the hint of a failure that the model's own code was left out, where it was."""
    try:
        yield
    except StepError as error:
        if not removed:
            raise
        raise StepError(error.message, f"{error.hint} {_sentence(removed)}".strip()) from error


def _sentence(removed: tuple[str, ...]) -> str:
    names = ", ".join(removed[:3]) + (", ..." if len(removed) > 3 else "")
    return (
        f"This model brings Python code of its own ({names}), which was left out: if the tool "
        "needs it and you trust its authors, set 'trust_remote_code: true' on the model."
    )


def _changed(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _CODE:
        path.unlink()
        return True
    if suffix != ".json":
        return False
    text = _without_references(path)
    if text:
        path.unlink()
        path.write_text(text, "utf-8")
    return bool(text)


def _without_references(path: Path) -> str:
    """The file without references to code, or '' if it has none (or is no JSON at all)."""
    found = False

    def strip(table: dict[str, JSON]) -> dict[str, JSON]:
        nonlocal found
        # The same word with a number is an entry of a vocabulary.
        if isinstance(table.get(_REFERENCES), str | list | dict):
            found = True
            del table[_REFERENCES]
        return table

    try:
        whole = json.loads(path.read_bytes(), object_hook=strip)
        return json.dumps(whole) if found else ""
    except RecursionError as error:
        raise StepError(f"{path.name} is nested too deeply to be a configuration.") from error
    except ValueError:
        return ""
