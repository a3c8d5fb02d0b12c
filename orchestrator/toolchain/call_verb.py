"""Call one verb of a tool chain, and believe its result only when the data says how.

Steps use this module alone to run upstream's tools. A verb arrives as the JSON of its
data (a step's context), so that a step needs nothing but its task.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base import machine_info
from orchestrator.base.errors import ExplainedFailure, StepError
from orchestrator.base.process import run_process
from orchestrator.base.process.isolation import Visible
from orchestrator.base.process.warm_python import Warm
from orchestrator.base.step_values import JSON, Call, Progress, Task
from orchestrator.toolchain.model import Verb
from orchestrator.toolchain.verb_option import as_files

PACKAGES = "packages"  # a layer, and the folder in it for Python's path
_PROGRESS_WINDOW = 4096
_TOOLS = ("toolchain", "environment", "packages")


@dataclass(frozen=True)
class Result:
    """What a verb's output says: its stdout, the named values and the named lists.

    ``values`` are strings of the last match of each pattern; ``lists`` hold every match,
    a dictionary of named groups each; ``notes`` are what of it belongs
    into the report. ``parsed`` is the JSON of a verb that prints JSON.
    """

    stdout: str
    values: Mapping[str, str]
    lists: Mapping[str, list[dict[str, str]]]
    parsed: JSON
    seconds: float
    peak_memory: int
    notes: tuple[dict[str, JSON], ...] = ()


def places(task: Task) -> dict[str, str]:
    """The values that every argv may use: where the tool chain and its parts lie."""
    found = {"exe": machine_info.exe(), "threads": str(task.threads), "scratch": str(task.scratch)}
    if "toolchain" in task.inputs:
        root = task.inputs["toolchain"]
        found |= {"bin": str(root / "bin"), "src": str(root / "src")}
    if "environment" in task.inputs:
        found["python"] = str(environment_python(task.inputs["environment"]))
    if "data" in task.step.context:
        found["data"] = str(task.step.context["data"])
    return found


def launch(
    task: Task, argv: Sequence[str], *, portable: Sequence[str] = (), **settings: Any
) -> run_process.Completed:
    """Run a program for a task: its output goes to the task's log, its cost to its records.

    Args:
        task: The task.
        argv: The program and its arguments.
        portable: The same with ``{threads}`` for the number of threads, if it is in there.
        settings: As :func:`orchestrator.base.process.run_process.run`.

    Raises:
        ToolError, DiskFull: As :func:`orchestrator.base.process.run_process.run`.
    """
    done = run_process.run(argv, log=task.log, **settings)
    anywhere = tuple(portable) or done.argv
    task.calls.append(Call(done.argv, done.seconds, done.peak_memory, anywhere))
    return done


def own_temporary(task: Task) -> dict[str, str]:
    """Variables that name a folder for temporary files, which goes with the step.

    Torch leaves some of them, and so do compilers and pip when they are killed.
    """
    folder = task.scratch / ".tmp"
    folder.mkdir(exist_ok=True)
    return dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder))


def empty_home(task: Task) -> dict[str, str]:
    """Variables that name an empty home: no token, configuration or cached code is in it.

    A model's code may run in a tool, and libraries follow names in a model's files to code
    of other models in the user's Hub cache. Temporary files go with the step too.
    """
    home = task.scratch / ".home"
    home.mkdir(exist_ok=True)
    hub = home / "huggingface"
    return {
        **own_temporary(task),
        **dict.fromkeys(("HOME", "USERPROFILE"), str(home)),
        "HF_HOME": str(hub),
        "HF_MODULES_CACHE": str(hub / "modules"),
    }


def _visible(task: Task) -> Visible:
    """What a tool sees of the user's files: its step's folders, and the files they refer to."""
    read = [*task.inputs.values()]
    for name, folder in task.inputs.items():
        if name not in _TOOLS:
            read += referred(folder)
        elif name == "toolchain":  # tools of the user's load what lies beside them
            read += [path.parent for path in referred(folder / "bin")]
    if "data" in task.step.context:
        read.append(Path(str(task.step.context["data"])))
    return Visible(tuple(read), (task.workdir, task.scratch))


def referred(folder: Path) -> Iterator[Path]:
    """Where links of an input lead: into the Hub's cache, or to a model of the user's own."""
    for base, _, names in os.walk(folder):
        for path in (Path(base, name) for name in names):
            if path.is_symlink():
                yield path.parent / path.readlink()


def environment_python(environment: Path) -> Path:
    """The interpreter of a tool chain's environment."""
    if sys.platform == "win32":
        return environment / "venv" / "Scripts" / "python.exe"
    return environment / "venv" / "bin" / "python"


def verb(task: Task, name: str) -> Verb:
    """A verb of the step's tool chain."""
    return Verb.model_validate(task.step.context["verbs"][name])


def call(
    task: Task,
    name: str,
    values: Mapping[str, Any],
    *,
    cwd: Path | None = None,
    counts: Mapping[str, int] | None = None,
    needed_bytes: int = 0,
    what: str = "",
    report: Callable[[Progress], None] | None = None,
) -> Result:
    """Run a verb of the step's tool chain and read its output.

    Args:
        task: The task; its step's context holds the verb's data under ``verbs``.
        name: The verb.
        values: What the argv template needs beside :func:`places`.
        cwd: Where the tool runs; the staging folder when not given.
        counts: Values that the data's ``expect.count`` and ``expect.number`` refer to.
        needed_bytes: How much the tool writes, for the sentence about a full disk.
        what: What a person calls this; the step's label when not given.
        report: Where progress goes; the task's when not given.

    Raises:
        StepError: The tool failed, or its output is not that of a success.
        EnvironmentProblem: The disk is full.
    """
    called = verb(task, name)
    filled = {**places(task), **values, **as_files(called.options, values, task.scratch)}
    what = what or task.step.label
    done = _run(
        task,
        called,
        filled,
        cwd or task.workdir,
        needed_bytes=needed_bytes,
        what=what,
        report=report or task.report,
    )
    _check(called, done, counts or {}, what)
    _check_echo(called, done, filled, what)
    return _result(called, done, what)


def _run(
    task: Task,
    verb: Verb,
    values: Mapping[str, Any],
    cwd: Path,
    *,
    needed_bytes: int,
    what: str,
    report: Callable[[Progress], None],
) -> run_process.Completed:
    env = {key: text.format_map(values) for key, text in verb.env.items()}
    if PACKAGES in task.inputs:
        env["PYTHONPATH"] = str(task.inputs[PACKAGES] / PACKAGES)
    try:
        return launch(
            task,
            verb.expand(values),
            portable=verb.expand({**values, "threads": "{threads}"}),
            cwd=cwd,
            env=run_process.clean_env({**empty_home(task), **env}),
            timeout=verb.timeout,
            on_text=_progress_reader(verb, report),
            needed_bytes=needed_bytes,
            what=what,
            visible=_visible(task),
            warm=_warm(task, verb, values, env),
        )
    except run_process.ToolError as error:
        raise _explained(verb, error) from error


def _warm(task: Task, verb: Verb, values: Mapping[str, Any], env: Mapping[str, str]) -> Warm | None:
    """What one process imports for this call and others; none for a model's own code.

    The values of a call's own folders are no part of it: they differ from call to call.
    """
    if not verb.warm or task.step.params.get("trust_remote_code"):
        return None
    place = Path(os.path.commonpath((task.workdir, task.scratch))).parent
    common = {name: text for name, text in env.items() if str(place) not in text}
    tools = [path for name, path in task.inputs.items() if name in _TOOLS]
    tools += sorted({path.parent for one in tools for path in referred(one / "bin")})
    others = [path for name, path in task.inputs.items() if name not in _TOOLS]
    store = Path(os.path.commonpath(list(map(os.path.realpath, (place, *others)))))
    return Warm(
        tuple(word.format_map(values) for word in verb.warm),
        tuple(sorted(run_process.clean_env(common).items())),
        (Path(str(task.step.context["data"])), store, *tools),
        place,
    )


def _progress_reader(
    verb: Verb, report: Callable[[Progress], None]
) -> Callable[[str], None] | None:
    if not verb.progress:
        return None
    pattern = re.compile(verb.progress)
    seen = ""

    def read(text: str) -> None:
        nonlocal seen
        seen = (seen + text)[-_PROGRESS_WINDOW:]
        matches = list(pattern.finditer(seen))
        if matches:
            groups = matches[-1].groupdict()
            total = float(groups.get("total") or verb.progress_total)
            report(Progress(float(groups["done"]), total, verb.unit))

    return read


def _explained(verb: Verb, error: run_process.ToolError) -> StepError:
    """The failure as the tool chain's data explains it, else as it came."""
    for known in verb.errors:
        found = re.search(known.match, error.tail)
        if found:
            groups = found.groupdict()
            return ExplainedFailure(known.say.format_map(groups), known.hint.format_map(groups))
    return error


def _check(verb: Verb, done: run_process.Completed, counts: Mapping[str, int], what: str) -> None:
    """Distrust an exit code of 0: hold the output against what success looks like."""
    text = done.text
    for known in verb.errors:
        found = re.search(known.match, text)
        if found:
            groups = found.groupdict()
            raise ExplainedFailure(known.say.format_map(groups), known.hint.format_map(groups))
    for pattern in verb.expect.never:
        found = re.search(pattern, text)
        if found:
            raise StepError(f"{what}: the tool exited 0 but said {found.group(0).strip()!r}")
    for pattern in verb.expect.match:
        if not re.search(pattern, text):
            raise StepError(
                f"{what}: the tool exited 0 but did not print what a success prints "
                f"(no line matches {pattern!r})"
            )
    _check_counts(verb, text, counts, what)


def _check_counts(verb: Verb, text: str, counts: Mapping[str, int], what: str) -> None:
    """Hold numbers in the output, and how often something is said, against what is known."""
    found = {name: len(re.findall(one, text)) for one, name in verb.expect.count.items()}
    for pattern, name in verb.expect.number.items():
        found[name] = int((re.findall(pattern, text) or [0])[-1])
    for name, number in found.items():
        if name in counts and number != counts[name]:
            raise StepError(
                f"{what}: the tool exited 0 but its output says {name}: {number}, "
                f"not {counts[name]}"
            )


def _check_echo(
    verb: Verb, done: run_process.Completed, values: Mapping[str, Any], what: str
) -> None:
    """Tools that drop what they cannot read of a value are caught by what they say of it."""
    for name, before in verb.expect.echo.items():
        if not re.search(before + re.escape(str(values[name])), done.text):
            raise StepError(
                f"{what}: the tool exited 0 but did not read the {name} to its end",
                f"Leave characters out of the {name} that the model's vocabulary lacks.",
            )


def _result(verb: Verb, done: run_process.Completed, what: str) -> Result:
    values: dict[str, str] = {}
    for name, pattern in verb.values.items():
        found = re.findall(pattern, done.text)
        if found:
            values[name] = found[-1] if isinstance(found[-1], str) else found[-1][0]
    lists = {
        name: [match.groupdict() for match in re.finditer(pattern, done.text)]
        for name, pattern in verb.lists.items()
    }
    parsed: JSON = None
    if verb.output == "json":
        try:
            parsed = json.loads(done.stdout)
        except json.JSONDecodeError as error:
            raise StepError(f"{what}: the tool printed no valid JSON ({error})") from error
    notes = tuple(_notes(verb, done.text))
    return Result(done.stdout, values, lists, parsed, done.seconds, done.peak_memory, notes)


def _notes(verb: Verb, text: str) -> Iterator[dict[str, JSON]]:
    """What the tool said that belongs into the report, as a sentence and its numbers."""
    for known in verb.notes:
        found = list(re.finditer(known.match, text))
        if found:
            numbers: dict[str, JSON] = {**found[0].groupdict(), "count": len(found)}
            yield {"message": known.say.format_map(numbers), "numbers": numbers}
