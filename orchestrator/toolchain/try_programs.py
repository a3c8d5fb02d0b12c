"""Try programs where they lie, built or found: self-test, flags, and the bytes that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import JSON, Task
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.argv_template import expand

_FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
_SECONDS = 300


def self_test(task: Task) -> None:
    """Run the data's commands; what needs a program that is not there is left out.

    Raises:
        StepError: One failed, or did not print what it should.
    """
    values = _values(task)
    for command in task.step.params["build"]["self_test"]:
        argv = expand(command["argv"], values)
        if argv[0] in _absent(task):
            continue
        done = _launched(task, argv, "self-test")
        if command["expect"] and not re.search(command["expect"], done.text):
            raise StepError(
                f"{task.step.label}: the self-test ran but did not print {command['expect']!r}",
                f"See {task.log}.",
            )


def check_flags(task: Task, hint: str) -> None:
    """Ask each program for the flags that verbs always give it, before one of them fails.

    Raises:
        StepError: With what is gone.
    """
    wanted: dict[str, set[str]] = {}
    for argv in task.step.context.get("calls", ()):
        program = expand(argv[:1], _values(task))[0]
        flags = {one for one in argv[1:] if isinstance(one, str) and _FLAG.fullmatch(one)}
        wanted.setdefault(program, set()).update(flags)
    gone = [
        f"{Path(program).stem} has no {', '.join(missing)}"
        for program, flags in sorted(wanted.items())
        if (missing := sorted(flags - _offered(task, program)))
    ]
    if gone:
        raise StepError(f"{task.step.label}: {'; '.join(gone)}", hint)


def sample(task: Task) -> dict[str, str]:
    """SHA-256 of what the quantizer makes of a small model, by type; nothing without such data.

    Raises:
        StepError: It does not make one of the types.
    """
    asked: Mapping[str, JSON] = task.step.context.get("compared", {"types": ()})
    made, output = {}, task.scratch / "compared"
    for name in asked["types"]:
        argv = expand(asked["argv"], {**_values(task), "type": name, "output": str(output)})
        _launched(task, argv, f"quantize a small model to {name}")
        made[name] = file_sha256(output)
    return made


def _values(task: Task) -> dict[str, str]:
    own = {"bin": str(task.workdir / "bin"), "src": str(task.workdir / "src")}
    return {**call_verb.places(task), **own}


def _absent(task: Task) -> set[str]:
    """The programs that tools which were there already lack."""
    return set(expand(task.step.context.get("absent", ()), _values(task)))


def _launched(task: Task, argv: list[str], what: str) -> run_process.Completed:
    return call_verb.launch(
        task,
        argv,
        cwd=task.scratch,
        env=run_process.clean_env(),
        timeout=_SECONDS,
        what=f"{task.step.label}: {what}",
    )


def _offered(task: Task, program: str) -> set[str]:
    """The flags that a program's help speaks of; several tools end with an error after it."""
    before = task.log.stat().st_size
    with suppress(run_process.ToolError):
        argv, env = [program, "--help"], run_process.clean_env()
        call_verb.launch(task, argv, cwd=task.scratch, env=env, timeout=60)
    # An error has only the end of what was said.
    said = task.log.read_bytes()[before:].decode("utf-8", errors="replace")
    return set(_FLAG.findall(said))
