"""What a reader says when a file is not what it must be."""

from __future__ import annotations

from pathlib import Path

from orchestrator.base.errors import StepError

_HINT = "The file is damaged, incomplete or of another format; make or fetch it again."


class FormatError(StepError):
    """A model file is malformed, truncated or of a kind that is not supported."""


def malformed(path: Path | str, offset: int, problem: str, hint: str = _HINT) -> FormatError:
    """The error for ``path``: names the file, the byte offset and what is wrong there."""
    return FormatError(f"{path}: at byte {offset}: {problem}", hint)
