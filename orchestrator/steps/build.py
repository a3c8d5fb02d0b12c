"""Build a tool chain's native tools, test them, and keep what is needed of them.

A program that was left out of the build is made here too, against the libraries of the build.
The result has ``bin/`` (tools and libraries that find each other by their own place, so
that the folder can be moved) and ``src/`` (the converters and what they import).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.base import file_links
from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.sources import git
from orchestrator.toolchain import call_verb, try_programs

# In the words of cmake, of make, and of the shells that make calls.
_NO_COMPILER = re.compile(
    r"No CMAKE_C(XX)?_COMPILER"
    r"|: (\d+: )?(cc|gcc|clang|c\+\+|g\+\+|clang\+\+): (No such file|(command )?not found)"
)
_UNUSED = re.compile(
    r"(?s)Manually-specified variables were not used by the project:.*?(?=\n-- |\Z)"
)
# The first of these is what a person looks for: later ones often follow from it.
_ERROR = re.compile(
    r"(?m)^CMake Error(?P<at> at [^\n]*?)?(?: \(\w+\))?:\s+(?P<said>\S[^\n]*)"
    r"|^(?P<line>[^\n]*?(?:\b(?:fatal )?error(?: \w+\d+)?: |undefined reference to )[^\n]*)"
)
_NAME = re.compile(r"^-D|[:=].*$")
# In the words of ninja and of make.
_NO_TARGET = re.compile(r"(?:unknown|No rule to make) target ['`](?P<name>[^']+)'")


def run(task: Task) -> dict[str, JSON]:
    """Get the pinned source, build, install, self-test.

    Raises:
        EnvironmentProblem: No compiler, or the source cannot be reached.
        StepError: The build failed, or the tools do not work on this processor.
    """
    params, context = task.step.params, task.step.context
    source = task.scratch / "source"
    origin = git.checkout(context["source"], params["commit"], source, task)
    _overlay(params["build"], Path(context["data"]), source)
    try:
        output = _compiled(task, source)
    except StepError as error:
        raise _lacking(task, error) or error from None
    _install(task, source, output)
    try_programs.self_test(task)
    try_programs.check_flags(task, _not_of_this_commit(task))
    facts = {"origin": origin, "commit": params["commit"], "options": list(params["options"])}
    made = try_programs.sample(task)
    return {**facts, "bytes": made} if made else facts


def _overlay(build: Mapping[str, JSON], data: Path, source: Path) -> None:
    """Put the data's own files where upstream lacks them or asks its surroundings."""
    files = dict(build.get("overlay") or {})
    if build["cmakelists"]:
        files["CMakeLists.txt"] = build["cmakelists"]
    for place, name in files.items():
        shutil.copyfile(data / name, source / place)


def _lacking(task: Task, error: StepError) -> EnvironmentProblem | None:
    """Why the build of a back end failed, where that is what the machine lacks."""
    backend = task.step.context.get("backend") or {}
    missing = [name for name in backend.get("programs", ()) if shutil.which(name) is None]
    # What cannot be configured finds no library or compiler: the back end's parts are not whole.
    configured = (task.scratch / "build" / "build.ninja").exists()
    if not backend or (configured and not missing):
        return None
    lacks = f", and {', '.join(missing)} is not on the path" if missing else ""
    return EnvironmentProblem(
        f"{error.message}: the back end {backend['name']} cannot be built here{lacks}",
        backend["advice"],
    )


def _compiled(task: Task, source: Path) -> Path:
    """Build, and say in which folder the results lie."""
    params, output = task.step.params, task.scratch / "build"
    if params["build"]["system"] == "cmake":
        _cmake(task, source, output, params["options"])
        return output
    make = shutil.which("make")
    if make is not None:
        _make(task, make, source)
        return source
    if not params["build"]["cmakelists"]:
        raise EnvironmentProblem(
            "this tool chain is built with make, which is not installed",
            "Install make (Debian: apt install make).",
        )
    # The options are make's; what cmake needs of them stands in our own CMakeLists.txt.
    _cmake(task, source, output, ["-DCMAKE_BUILD_TYPE=Release"])
    return output


def _env(task: Task) -> dict[str, str]:
    """Builds must not record the commit of a repository that happens to surround them.

    Git still looks into the folder it is asked about, but goes up no further than named here.
    """
    tools = [str(_tool("ninja").parent), os.environ.get("PATH", "")]
    ceiling = os.pathsep.join({str(task.scratch), str(task.scratch.resolve())})
    own = call_verb.own_temporary(task)
    return run_process.clean_env(
        {**own, "GIT_CEILING_DIRECTORIES": ceiling, "PATH": os.pathsep.join(tools)}, "compiler"
    )


def _tool(name: str) -> Path:
    """cmake or ninja from its Python package."""
    import cmake  # noqa: PLC0415 - only a build needs them
    import ninja  # noqa: PLC0415

    folder = {"cmake": cmake.CMAKE_BIN_DIR, "ninja": ninja.BIN_DIR}[name]
    return Path(folder) / (f"{name}.exe" if sys.platform == "win32" else name)


def _cmake(task: Task, source: Path, output: Path, options: Sequence[str]) -> None:
    cmake = str(_tool("cmake"))
    built = task.inputs.get("toolchain")
    added = [] if built is None else [f"-DBUILT={built / 'bin'}"]
    configure = [cmake, "-S", str(source), "-B", str(output), "-G", "Ninja", *options, *added]
    _check_options(task, _compile(task, configure, "configure").text)
    _check_commands(task, output)
    jobs = str(task.threads)
    build = [cmake, "--build", str(output), "--config", "Release", "--parallel", jobs, "--target"]
    _compile(task, [*build, *task.step.params["build"]["targets"]], "compile")


def _check_options(task: Task, said: str) -> None:
    """Refuse a build that would silently be another one than its profile says.

    Raises:
        StepError: cmake does not know an option of the profile or of the back end.
    """
    unused = set(re.split(r"\s+", (_UNUSED.search(said) or [""])[0]))
    ours = {_NAME.sub("", one): one for one in task.step.context.get("needed", ())}
    lost = sorted(option for name, option in ours.items() if name in unused)
    if lost:
        raise StepError(
            f"{task.step.label}: cmake does not know {', '.join(lost)}", _not_of_this_commit(task)
        )


def _check_commands(task: Task, output: Path) -> None:
    """Refuse flags of compilers that a profile forbids, such as -march=native."""
    refused, commands = task.step.context.get("refused"), output / "build.ninja"
    found = re.search(refused, commands.read_text("utf-8")) if refused else None
    if found:
        raise StepError(
            f"{task.step.label}: upstream compiles with {found[0]}, which the profile forbids",
            _not_of_this_commit(task),
        )


def _make(task: Task, make: str, source: Path) -> None:
    params = task.step.params
    argv = [make, "-C", str(source), f"-j{task.threads}", *params["options"]]
    _compile(task, [*argv, *params["build"]["targets"]], "compile")


def _compile(task: Task, argv: Sequence[str], what: str) -> run_process.Completed:
    before = task.log.stat().st_size if task.log.exists() else 0
    try:
        done = call_verb.launch(
            task,
            argv,
            cwd=task.scratch,
            env=_env(task),
            on_text=_ninja_progress(task),
            what=f"{task.step.label}: {what}",
        )
    except run_process.ToolError as error:
        if _NO_COMPILER.search(error.tail):
            raise EnvironmentProblem(
                "no C++ compiler was found",
                "Install one (Debian: apt install g++; macOS: xcode-select --install)"
                f"{task.step.context.get('instead', '')}.",
            ) from error
        target = _NO_TARGET.search(error.tail)
        if target is not None and _not_of_this_commit(task):
            missing = f"{task.step.label}: this source has no target {target['name']}"
            raise StepError(missing, _not_of_this_commit(task)) from error
        said = task.log.read_bytes()[before:].decode("utf-8", errors="replace")
        first = _first_error(said.replace(f"{task.scratch / 'source'}{os.sep}", ""))
        error.message += f": {first}" if first else ""
        raise
    return done


def _first_error(said: str) -> str:
    """What the compiler, the linker or cmake complained of first; empty if nothing is known."""
    found = _ERROR.search(said)
    if found is None:
        return ""
    if found["line"]:
        return found["line"].strip()
    return f"CMake Error{found['at'] or ''}: {found['said']}"


def _not_of_this_commit(task: Task) -> str:
    """A hint for commits other than the pinned one, of which the data may say the wrong things."""
    pinned, commit = task.step.context["source"], task.step.params["commit"]
    if commit == pinned.get("commit", commit):
        return ""
    return (
        f"The data of this tool chain does not fit commit {commit[:12]}: add a variant to its "
        "toolchain.yaml, or use the pinned commit."
    )


def _ninja_progress(task: Task) -> Any:
    """Ninja prints ``[done/total]`` before each command."""
    pattern = re.compile(r"\[(\d+)/(\d+)\]")

    def read(text: str) -> None:
        found = pattern.findall(text)
        if found:
            task.report(Progress(float(found[-1][0]), float(found[-1][1]), "files"))

    return read


def _install(task: Task, source: Path, output: Path) -> None:
    """Copy products and sources; links stay links."""
    build, workdir = task.step.params["build"], task.workdir
    folders = [output / name for name in build["binaries"] if (output / name).is_dir()]
    products = [one for folder in folders for one in git.matching(folder, build["products"])]
    missing = [name for name in build["targets"] if not _made(name, products)]
    if missing:
        what = f"the build succeeded but did not make {', '.join(missing)}"
        raise StepError(what, _not_of_this_commit(task))
    (workdir / "bin").mkdir()
    _link_built(task)
    for path in products:
        shutil.copy2(path, workdir / "bin" / path.name, follow_symlinks=False)
    git.keep_files(source, build["sources"], workdir / "src", _not_of_this_commit(task))


def _link_built(task: Task) -> None:
    """What a program is linked with lies beside it: programs find libraries in their folder."""
    folder = task.inputs["toolchain"] / "bin" if "toolchain" in task.inputs else None
    for path in sorted(folder.iterdir()) if folder is not None else ():
        target = task.workdir / "bin" / path.name
        if path.is_symlink():
            target.symlink_to(path.readlink())
        else:
            file_links.place(path, target)


def _made(target: str, products: Sequence[Path]) -> bool:
    return any(target in (path.stem, path.name) for path in products)
