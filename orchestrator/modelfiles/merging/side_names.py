"""What errors call the two sides of a merge: as the recipe does, not by folders of the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Task


def of_step(task: Task) -> dict[Path, str]:
    """The folders of a step that the recipe names, and their names there."""
    context = task.step.context
    return {path: str(context[side]) for side, path in task.inputs.items() if side in context}


@contextmanager
def as_in_recipe(names: Mapping[Path, str]) -> Iterator[None]:
    """Put names into errors in the place of folders.

    Raises:
        StepError: What was raised, in other words.
    """
    try:
        yield
    except StepError as error:
        text = error.message
        for folder, name in names.items():
            text = text.replace(str(folder), name)
        raise StepError(text, error.hint) from error
