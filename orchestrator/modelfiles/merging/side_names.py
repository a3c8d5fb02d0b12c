"""What errors call the two sides of a merge: as the recipe does, not by folders of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Task


@contextmanager
def as_in_recipe(task: Task) -> Iterator[None]:
    """Put the recipe's own names into the errors of a step with the inputs base and delta.

    Raises:
        StepError: What was raised, in other words.
    """
    try:
        yield
    except StepError as error:
        text = error.message
        for side in ("base", "delta"):
            text = text.replace(str(task.inputs[side]), str(task.step.context.get(side, side)))
        raise StepError(text, error.hint) from error
