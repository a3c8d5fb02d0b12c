"""Tasks for steps that are called without a runner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.base.step_values import JSON, Progress, Step, Task


def a_task(
    folder: Path,
    params: Mapping[str, JSON] | None = None,
    context: Mapping[str, JSON] | None = None,
    inputs: Mapping[str, Path] | None = None,
    progress: list[Progress] | None = None,
    **rest: Any,
) -> Task:
    """A task with empty folders of its own below ``folder``."""
    workdir, scratch = folder / "work", folder / "scratch"
    workdir.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(exist_ok=True)
    step = Step("kind", "do it", "0" * 64, dict(params or {}), context=dict(context or {}))
    noted = progress if progress is not None else []
    return Task(
        step=step,
        inputs=dict(inputs or {}),
        workdir=workdir,
        scratch=scratch,
        log=folder / "log",
        threads=2,
        report=noted.append,
        **rest,
    )
