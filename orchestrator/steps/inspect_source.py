"""Look into upstream's source at a commit: which variants of a tool chain's data hold for it.

The commit's git objects stay, so that the build need not fetch them again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.base.step_values import JSON, Task
from orchestrator.sources import git
from orchestrator.toolchain.variants import Listed, When


def run(task: Task) -> dict[str, JSON]:
    """Fetch the source and read what the variants ask of it.

    Returns:
        Facts: ``variants`` that hold, ``types`` that the quantizer lists, the ``date`` of the
        commit and its ``origin``.

    Raises:
        EnvironmentProblem: The source cannot be reached.
        StepError: A place delivered something else.
    """
    params, source = task.step.params, task.scratch / "source"
    origin = git.checkout(task.step.context["source"], params["commit"], source, task)

    def read(pattern: str) -> list[str]:
        found = sorted(path for path in source.glob(pattern) if path.is_file())
        return [path.read_text("utf-8", errors="replace") for path in found]

    asked = {name: When.model_validate(one) for name, one in params["variants"].items()}
    listed = params["types_listed"]
    facts = {
        "variants": [name for name, when in asked.items() if when.met(read)],
        "types": list(Listed.model_validate(listed).read(read)) if listed else [],
        "date": git.commit_date(source, task),
        "origin": origin,
    }
    _keep(source / ".git", task.workdir / "upstream.git")
    return facts


def _keep(found: Path, target: Path) -> None:
    git.strip(found)
    (found / "index").unlink(missing_ok=True)
    shutil.move(found, target)
