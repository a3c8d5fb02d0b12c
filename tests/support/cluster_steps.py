"""Steps that wait where a test wants them to, in the processes of a cluster's workers.

A place is a pair of named pipes in the folder that a step's context names, or TRIAL_FOLDER for
steps of real recipes: whoever comes to
``PHASE-LABEL.begun`` writes its process id there and goes on when ``PHASE-LABEL.go`` says so.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from orchestrator.base.step_values import JSON, Step, Task
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Artifact, Stage, Store
from orchestrator.engine.step_kinds import Role
from orchestrator.toolchain import call_verb
from tests.support.scheduler_runs import Own, fail, write_text

PHASES = ("tool", "commit", "committed")
# Of the native tool, and of the job's process itself in the later phases.
WAIT = """
import os, sys
with open(sys.argv[1], "a") as begun:
    begun.write(f"{os.getpid()}\\n")
with open(sys.argv[2]) as go:
    go.readline()
"""


def pipes(step: Step, phase: str) -> list[str]:
    """The two pipes of a phase of a step."""
    folder = Path(step.context.get("trial", os.environ.get("TRIAL_FOLDER", ".")))
    return [str(folder / f"{phase}-{step.label}.{end}") for end in ("begun", "go")]


def run_waiting_tool(task: Task) -> dict[str, JSON]:
    """Run a tool that waits if it shall, then write the step's text."""
    if Path(pipes(task.step, "tool")[0]).exists():
        argv = [sys.executable, "-I", "-S", "-c", WAIT, *pipes(task.step, "tool")]
        call_verb.launch(task, argv, portable=["python"], cwd=task.scratch)
    return write_text(task)


def _wait_here(step: Step, phase: str) -> None:
    begun, go = pipes(step, phase)
    if Path(begun).exists():
        with Path(begun).open("a") as file:
            file.write(f"{os.getpid()}\n")
        with Path(go).open() as file:
            file.readline()


def teach_all() -> None:
    """Add the kinds to this process's table, and let it wait around commits."""
    works = {"text": write_text, "fail": fail, "waits": run_waiting_tool}
    step_kinds.KINDS.update(  # type: ignore[attr-defined]
        {name: Own("", Role.OUTPUT, work=work) for name, work in works.items()}
    )
    plain = Store.commit

    def commit(store: Store, stage: Stage, step: Step, *rest: Any, **more: Any) -> Artifact:
        _wait_here(step, "commit")
        made = plain(store, stage, step, *rest, **more)
        _wait_here(step, "committed")
        return made

    Store.commit = commit  # type: ignore[method-assign, assignment]
    if "TRIAL_VERSION" in os.environ:
        import orchestrator

        orchestrator.__version__ = os.environ["TRIAL_VERSION"]
