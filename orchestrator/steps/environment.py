"""Make a tool chain's Python environment: a venv with the packages its data pins."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

from orchestrator.base import machine_info
from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.sources import http_client, pypi
from orchestrator.toolchain import call_verb

_UNREACHED = (
    "Failed to establish a new connection",
    "Temporary failure in name",
    "Read timed out",
    "ConnectTimeoutError",
)


def run(task: Task) -> dict[str, JSON]:
    """Create the environment, install, import what must import, record what came.

    The folder is moved once when it is committed; its interpreter finds itself by its own
    place, and nothing uses the scripts beside it.

    Raises:
        EnvironmentProblem: ``venv`` is not installed, or the package index is out of reach.
        StepError: A package does not install or import.
    """
    if "environment" in task.inputs:
        return _layer(task)
    venv = task.workdir / "venv"
    try:
        _call(task, [sys.executable, "-m", "venv", str(venv)], "create")
    except run_process.ToolError as error:
        raise EnvironmentProblem(
            "Python's venv module does not work here",
            "Install it (Debian: apt install python3-venv).",
        ) from error
    requirements = task.scratch / "requirements.txt"
    requirements.write_text(task.step.params["requirements"], encoding="utf-8")
    _install(task, venv, requirements)
    python = str(call_verb.environment_python(task.workdir))
    for name in task.step.context["imports"]:
        _call(task, [python, "-c", f"import {name}"], f"import {name}")
    frozen = _call(task, [python, "-m", "pip", "freeze", "--all"], "list packages").stdout
    shutil.rmtree(venv / "share", ignore_errors=True)
    return {"packages": sorted(line for line in frozen.splitlines() if "==" in line)}


def _layer(task: Task) -> dict[str, JSON]:
    """A folder of packages alone, for the path before those of the environment.

    Whatever they depend on is in the environment or named too: nothing is fetched twice.
    """
    python = str(call_verb.environment_python(task.inputs["environment"]))
    target = str(task.workdir / call_verb.PACKAGES)
    _fetch(task, [*_pip(python), "--no-deps", "--target", target, *task.step.params["packages"]])
    return {"packages": list(task.step.params["packages"])}


def _pip(python: str) -> list[str]:
    argv = [python, "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    return [*argv, "--disable-pip-version-check", "--no-compile"]


def _install(task: Task, venv: Path, requirements: Path) -> None:
    python = str(call_verb.environment_python(venv.parent))
    argv = [*_pip(python), "-r", str(requirements)]
    locked = task.step.context.get("constraints")
    if locked:
        constraints = task.scratch / "constraints.txt"
        constraints.write_text("".join(f"{one}\n" for one in locked), encoding="utf-8")
        argv += ["-c", str(constraints)]
    _fetch(task, argv)


def _fetch(task: Task, argv: list[str]) -> None:
    index = task.step.context["extra_index"]
    if task.offline:
        argv += ["--no-index"]  # what PIP_FIND_LINKS names still serves
    # pip would wait for minutes on an index that a firewall swallows.
    elif index and not http_client.unreachable(index):
        argv += ["--extra-index-url", index]
    seen = 0

    def count(text: str) -> None:
        nonlocal seen
        seen += text.count("Collecting ") + text.count("Building wheel")
        task.report(Progress(seen, 0, "packages"))

    try:
        _call(task, argv, "install packages", on_text=count, tool="pip")
    except run_process.ToolError as error:
        raise _explained(error, task.offline) from error


def _explained(error: run_process.ToolError, offline: bool) -> Exception:
    """Tell an unreachable index from a package that does not exist or build."""
    if offline:
        return EnvironmentProblem(
            "the tool chain's Python environment is not stored here", "Run once without --offline."
        )
    if any(word in error.tail for word in _UNREACHED) or _silent(error.tail):
        return NetworkProblem(
            "the package index cannot be reached for the tool chain's Python environment",
            "Check the network, or set PIP_INDEX_URL to a mirror.",
        )
    if "No matching distribution" in error.tail:
        return StepError(
            f"a pinned package is not available for Python {sys.version_info.major}."
            f"{sys.version_info.minor}: {_last(error.tail, 'No matching distribution')}",
            "Use a Python version that the tool chain's requirements.txt supports.",
        )
    return error


def _silent(tail: str) -> bool:
    """Told not to try again (PIP_RETRIES=0), pip keeps to itself that nobody answered."""
    return "(from versions: none)" in tail and http_client.unreachable(pypi.effective_index()) != ""


def _last(tail: str, word: str) -> str:
    return [line for line in tail.splitlines() if word in line][-1].strip()


def _call(
    task: Task,
    argv: list[str],
    what: str,
    *,
    on_text: run_process.Reader | None = None,
    tool: Literal["tool", "pip"] = "tool",
) -> run_process.Completed:
    stated = task.step.params.get("install_env", {})
    extra = {**call_verb.own_temporary(task), **stated, "PYTHONDONTWRITEBYTECODE": "1"}
    if not machine_info.compiler():
        needed = task.step.context.get("without_compiler", {})
        extra |= {name: text.format(python=sys.executable) for name, text in needed.items()}
    return call_verb.launch(
        task,
        argv,
        cwd=task.scratch,
        env=run_process.clean_env(extra, tool),
        on_text=on_text,
        what=f"{task.step.label}: {what}",
    )
