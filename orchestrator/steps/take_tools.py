"""Take installed tools in place of a build: refer to them, and test them.

The result has ``bin/`` (links to them) and ``src/`` (the converters of the same commit). What
was unpacked from an archive for this is another step's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import StepError
from orchestrator.base.file_links import borrow
from orchestrator.base.process import run_process
from orchestrator.base.step_values import JSON, Task
from orchestrator.sources import git
from orchestrator.toolchain import try_programs

_HINT = "These tools are not those of that commit, or were built without a part of them."


def run(task: Task) -> dict[str, JSON]:
    """Get the sources of the tools' commit, refer to the tools, self-test.

    Returns:
        Facts: ``references`` to the tools, the ``bytes`` that they make of a small model, where
        the source came from.

    Raises:
        EnvironmentProblem: The source cannot be reached.
        StepError: The tools changed since they were looked at, or do not work here.
    """
    params = task.step.params
    paths = {name: Path(path) for name, path in task.step.context["paths"].items()}
    references = {name: _same(path, params["tools"][name]) for name, path in paths.items()}
    origin = _sources(task)
    made = _tried(task, paths)
    return {
        "origin": origin,
        "commit": params["commit"],
        "options": [],
        "references": {f"bin/{name}": entry for name, entry in references.items()},
        "bytes": made,
    }


def _sources(task: Task) -> str:
    """Bring the converters: those that a build of the commit left, or from upstream's source."""
    params, context, target = task.step.params, task.step.context, task.workdir / "src"
    if context.get("kept") and Path(context["kept"]).is_dir():
        shutil.copytree(context["kept"], target)
        return str(context["origin"])
    source = task.scratch / "source"
    origin = git.checkout(context["source"], params["commit"], source, task)
    git.keep_files(source, params["build"]["sources"], target, _HINT)
    return origin


def _same(path: Path, sha256: str) -> dict[str, JSON]:
    """The entry of a file that is still the one that was looked at."""
    size = path.stat().st_size
    if file_sha256(path, run_process.check_stopped) != sha256:
        raise StepError(f"{path} was changed since it was looked at", "Run again.")
    return {"path": str(path), "size": size, "sha256": sha256}


def _tried(task: Task, paths: dict[str, Path]) -> dict[str, str]:
    """Try the tools by the names that verbs will call; the links are made again as references."""
    folder = task.workdir / "bin"
    folder.mkdir()
    for name, path in paths.items():
        borrow(path, folder / name)
    try_programs.self_test(task)
    try_programs.check_flags(task, _HINT)
    made = try_programs.sample(task)
    for name in paths:
        (folder / name).unlink()
    folder.rmdir()
    return made
