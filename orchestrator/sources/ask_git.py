"""Ask the git program, and check what it answers."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.base.errors import EnvironmentProblem, OrchestrateError, StepError
from orchestrator.base.process import run_process
from orchestrator.base.process.environment_variables import censored
from orchestrator.sources.git_messages import Request

Launch = Callable[..., run_process.Completed]
A = TypeVar("A", bound=BaseModel)

_ROOT = Path(__file__).resolve().parents[2]


def ask(
    request: Request, answer: type[A], launch: Launch, *, cwd: Path, timeout: float | None = None
) -> A:
    """Run the git program for one request.

    Git gets what its own credentials need of the environment, and asks no questions.

    Args:
        request: What is asked.
        answer: The class of its answer.
        launch: What starts it: ``run_process.run`` with a log, or ``call_verb.launch``.
        cwd: The program's working folder, outside of any repository.
        timeout: Seconds after which it is stopped.

    Raises:
        EnvironmentProblem: Git is not installed.
        ToolError, DiskFull, Interrupted: As ``launch``; :func:`reason` is what git said.
        StepError: The answer is none that this request can have.
    """
    if shutil.which("git") is None:
        raise EnvironmentProblem("git is not installed", "Install git (Debian: apt install git).")
    done = launch(
        [sys.executable, "-m", "orchestrator.sources.git_program", request.model_dump_json()],
        cwd=cwd,
        env=run_process.clean_env(
            {"GIT_TERMINAL_PROMPT": "0", "PYTHONPATH": str(_ROOT), "PYTHONSAFEPATH": "1"}, "git"
        ),
        timeout=timeout,
        what=f"git {request.do}",
    )
    return _checked(answer, done.stdout, f"git {request.do}")


def _checked(answer: type[A], stdout: str, what: str) -> A:
    lines = stdout.splitlines() or [""]
    try:
        return answer.model_validate_json(lines[-1])
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = ".".join(map(str, wrong["loc"])) or "it"
        raise StepError(f"{what} gave an invalid answer: {where}: {wrong['msg']}") from error


def reason(error: OrchestrateError) -> str:
    """Git's own last word, which says more than an exit code; without passwords."""
    said = re.findall(r"(?:fatal|error): [^\n]*", getattr(error, "tail", ""))
    return censored(said[-1].rstrip("' ") if said else error.message)
