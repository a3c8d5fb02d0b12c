"""Put a recipe that was written by this program in its place, once it loads."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.runs import load_and_plan
from orchestrator.workflows.drafting import editor_schema


def publish(text: str, folder: Path, target: Path | None) -> None:
    """Write a recipe only when it is one; without a target it is only checked.

    Its first line says where editors find the schema, which is put beside it if none is near.

    Args:
        text: The recipe.
        folder: Where the paths in it start; made when it is not there.
        target: Its place in that folder.

    Raises:
        EnvironmentProblem: It cannot be written.
        RecipeError: It is no recipe.
    """
    draft = folder / f".draft-{os.getpid()}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shown = text if target is None else editor_schema.with_line(text, folder)
        draft.write_text(shown, encoding="utf-8")
        load_and_plan.load([draft])
        if target is not None:
            draft.replace(target)
            if editor_schema.near(folder) is None:
                editor_schema.write(folder)
    except OSError as error:
        raise EnvironmentProblem(
            f"{target or draft} cannot be written: {error.strerror}",
            "Choose another place with -o.",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # gone to its place, or never there
            draft.unlink()
