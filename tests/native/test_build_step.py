"""Building with a real compiler: a few lines of C++ stand in for an upstream."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from git import Repo

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.process.run_process import ToolError
from orchestrator.base.step_values import Progress, Task
from orchestrator.steps import build
from tests.support.shims import (
    OF_GIT,
    first_on_path,
    passing_shim,
    secrets_seen,
    set_secrets,
    shim,
)
from tests.support.tasks import a_task

LIBRARY = "int answer() { return ANSWER; }\n"
TOOL = """\
#include <iostream>
int answer();
int main() { std::cout << "the answer is " << answer() << std::endl; }
"""
CMAKE = """\
cmake_minimum_required(VERSION 3.20)
project(stand CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_library(stand SHARED library.cpp)
set_target_properties(stand PROPERTIES VERSION 1.2 SOVERSION 1)
target_compile_definitions(stand PRIVATE ANSWER=${ANSWER})
add_executable(tool tool.cpp)
target_link_libraries(tool stand)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
execute_process(COMMAND git rev-parse HEAD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    OUTPUT_FILE ${CMAKE_BINARY_DIR}/bin/commit.txt ERROR_QUIET)
"""
MAKE = """\
tool: tool.cpp library.cpp
\t$(CXX) -DANSWER=$(ANSWER) -o tool tool.cpp library.cpp
"""
SPEC: dict[str, Any] = {
    "system": "cmake",
    "cmakelists": "",
    "overlay": {},
    "targets": ["tool"],
    "binaries": ["bin", "."],
    "products": ["tool", "libstand*", "commit.txt"],
    "sources": ["*.py", "deep/**/*.txt"],
    "self_test": [{"argv": ["{bin}/tool{exe}"], "expect": "the answer is 42"}],
}
OPTIONS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DANSWER=42",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
]


@pytest.fixture
def upstream(tmp_path: Path) -> Repo:
    folder = tmp_path / "upstream"
    (folder / "deep" / "er").mkdir(parents=True)
    files = {
        "library.cpp": LIBRARY,
        "tool.cpp": TOOL,
        "CMakeLists.txt": CMAKE,
        "Makefile": MAKE,
        "convert.py": "print()",
        "deep/er/a.txt": "a",
        "deep/b.bin": "b",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return committed(Repo.init(folder))


def committed(repo: Repo) -> Repo:
    with repo.config_writer() as config:
        config.set_value("user", "name", "test")
        config.set_value("user", "email", "test@localhost")
    repo.git.add("-A")
    repo.git.commit("-q", "-m", "stand-in")
    return repo


def task_of(
    folder: Path,
    repo: Repo,
    options: list[str] | None = None,
    progress: list[Progress] | None = None,
    **changes: Any,
) -> Task:
    params: Mapping[str, Any] = {
        "commit": repo.head.commit.hexsha,
        "build": {**SPEC, **changes},
        "options": OPTIONS if options is None else options,
    }
    context = {"source": {"git": f"file://{repo.working_dir}"}, "data": str(folder)}
    return a_task(folder / "t", params, context, progress=progress)


def tools_of(workdir: Path) -> str:
    """What the tool says when it is called from where it is."""
    return subprocess.run(
        [workdir / "bin" / "tool"], capture_output=True, text=True, check=True, cwd="/"
    ).stdout


def test_a_build_can_be_moved(tmp_path: Path, upstream: Repo) -> None:
    told: list[Progress] = []
    task = task_of(tmp_path, upstream, progress=told)

    facts = build.run(task)

    assert facts == {
        "origin": f"file://{upstream.working_dir}",
        "commit": upstream.head.commit.hexsha,
        "options": OPTIONS,
    }
    assert told[-1].done == told[-1].total > 0
    moved = tmp_path / "elsewhere"
    task.workdir.rename(moved)
    shutil.rmtree(task.scratch)
    assert tools_of(moved) == "the answer is 42\n"
    assert (moved / "bin" / "libstand.so.1").is_symlink()
    kept = sorted(p.relative_to(moved / "src").as_posix() for p in (moved / "src").rglob("*"))
    assert kept == ["convert.py", "deep", "deep/er", "deep/er/a.txt"]


def test_the_commit_that_surrounds_the_build_is_not_recorded(
    tmp_path: Path, upstream: Repo
) -> None:
    """Sources without a .git of their own, built somewhere inside another repository."""
    committed(Repo.init(tmp_path))
    task = task_of(tmp_path, upstream)

    build.run(task)

    own = (task.workdir / "bin" / "commit.txt").read_text().strip()
    assert own == upstream.head.commit.hexsha
    shutil.rmtree(task.scratch / "source" / ".git")
    bare = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=task.scratch / "source",
        env=build._env(task),
        capture_output=True,
        text=True,
        check=False,
    )
    assert bare.returncode != 0


def test_files_of_ours_take_their_places(tmp_path: Path, upstream: Repo) -> None:
    (tmp_path / "mine.cpp").write_text("int answer() { return 41 + 1; }\n")
    task = task_of(tmp_path, upstream, overlay={"library.cpp": "mine.cpp"})

    build.run(task)

    assert tools_of(task.workdir) == "the answer is 42\n"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_build_with_make(tmp_path: Path, upstream: Repo) -> None:
    task = task_of(tmp_path, upstream, ["ANSWER=42"], system="make")

    build.run(task)

    assert tools_of(task.workdir) == "the answer is 42\n"
    assert [path.name for path in (task.workdir / "bin").iterdir()] == ["tool"]


def without_make(monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, **where: None if name == "make" else which(name, **where)
    )


def test_without_make_our_own_cmakelists_serves(
    tmp_path: Path, upstream: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_make(monkeypatch)
    (tmp_path / "ours.txt").write_text(CMAKE.replace("${ANSWER}", "42"))
    rpath = 'set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)\nset(CMAKE_BUILD_RPATH "$ORIGIN")\n'
    (tmp_path / "ours.txt").write_text(
        CMAKE.replace("${ANSWER}", "42").replace("add_library", f"{rpath}add_library")
    )
    task = task_of(tmp_path, upstream, ["ANSWER=1"], system="make", cmakelists="ours.txt")

    build.run(task)

    shutil.rmtree(task.scratch)
    assert tools_of(task.workdir) == "the answer is 42\n"


def test_without_make_and_cmakelists_that_is_said(
    tmp_path: Path, upstream: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_make(monkeypatch)

    with pytest.raises(EnvironmentProblem, match="make, which is not installed"):
        build.run(task_of(tmp_path, upstream, system="make"))


@pytest.mark.parametrize("system", ["cmake", "make"])
def test_without_a_compiler_that_is_said(
    tmp_path: Path, upstream: Repo, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    options = OPTIONS if system == "cmake" else ["ANSWER=42"]
    for name in ("git", "make", "sh", "ld", "uname"):
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    if system == "make" and not (tools / "make").exists():
        pytest.skip("make is not installed")

    task = task_of(tmp_path, upstream, options, system=system)
    step = replace(task.step, context={**task.step.context, "instead": ", or use --prebuilt"})
    with pytest.raises(EnvironmentProblem, match=r"no C\+\+ compiler was found") as caught:
        build.run(replace(task, step=step))
    assert "apt install g++" in caught.value.hint
    assert caught.value.hint.endswith(", or use --prebuilt.")


@pytest.mark.parametrize(
    ("programs", "said"),
    [(["no-such-nvcc"], "no-such-nvcc is not on the path"), ([], "built here")],
)
def test_a_back_end_that_cannot_be_configured_is_the_machine_s_fault(
    tmp_path: Path, upstream: Repo, programs: list[str], said: str
) -> None:
    text = CMAKE.replace("add_library(", "find_package(NoSuchBackEnd REQUIRED)\nadd_library(")
    (tmp_path / "mine").write_text(text)
    task = task_of(tmp_path, upstream, overlay={"CMakeLists.txt": "mine"})
    needs = {"name": "cuda", "programs": programs, "advice": "Install it."}
    step = replace(task.step, context={**task.step.context, "backend": needs})

    with pytest.raises(EnvironmentProblem, match=f"back end cuda .*{said}") as caught:
        build.run(replace(task, step=step))

    assert "configure failed" in caught.value.message
    assert caught.value.hint == "Install it."


def test_code_of_a_back_end_that_does_not_compile_is_upstream_s(
    tmp_path: Path, upstream: Repo
) -> None:
    (tmp_path / "mine").write_text(LIBRARY.replace("ANSWER;", "}"))
    task = task_of(tmp_path, upstream, overlay={"library.cpp": "mine"})
    needs = {"name": "cuda", "programs": [], "advice": "Install it."}
    step = replace(task.step, context={**task.step.context, "backend": needs})

    with pytest.raises(ToolError, match="compile failed"):
        build.run(replace(task, step=step))


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("library.cpp", "ANSWER;", "}", r"compile failed: .*: library.cpp:1:\d+: error: "),
        ("library.cpp", "int answer", "int none", "compile failed: .*undefined reference to"),
        (
            "CMakeLists.txt",
            "add_library(",
            "no_such_command(",
            r"configure failed: .*: CMake Error at CMakeLists.txt:5: Unknown CMake command",
        ),
        ("CMakeLists.txt", "CXX)", "CXX", "configure failed: .*: CMake Error.*CMakeLists.txt:"),
    ],
)
def test_the_first_error_of_a_build_is_named(
    tmp_path: Path, upstream: Repo, file: str, before: str, after: str, said: str
) -> None:
    text = {"library.cpp": LIBRARY, "CMakeLists.txt": CMAKE}[file]
    (tmp_path / "mine").write_text(text.replace(before, after))

    with pytest.raises(ToolError, match=f"do it: {said}") as caught:
        build.run(task_of(tmp_path, upstream, overlay={file: "mine"}))

    assert len(caught.value.message.splitlines()) == 1


def test_a_target_that_was_not_made_is_named(tmp_path: Path, upstream: Repo) -> None:
    with pytest.raises(StepError, match="succeeded but did not make tool"):
        build.run(task_of(tmp_path, upstream, products=["libstand*"]))


def of_another_commit(task: Task, **known: Any) -> Task:
    """The same task, for data that pins another commit than the one to build."""
    source = {**task.step.context["source"], "commit": "0" * 40}
    context = {**task.step.context, "source": source, **known}
    return replace(task, step=replace(task.step, context=context))


@pytest.mark.parametrize("system", ["cmake", "make"])
def test_a_commit_without_a_target_is_told_from_a_broken_one(
    tmp_path: Path, upstream: Repo, system: str
) -> None:
    if system == "make" and shutil.which("make") is None:
        pytest.skip("make is not installed")
    options = OPTIONS if system == "cmake" else ["ANSWER=42"]
    task = task_of(tmp_path, upstream, options, system=system, targets=["new-tool"])

    with pytest.raises(StepError, match="this source has no target new-tool") as caught:
        build.run(of_another_commit(task))

    assert f"does not fit commit {upstream.head.commit.hexsha[:12]}" in caught.value.hint


def test_a_commit_without_a_script_is_said(tmp_path: Path, upstream: Repo) -> None:
    task = task_of(tmp_path, upstream, sources=["new.py", "no-such-*.py"])

    with pytest.raises(StepError, match=r"the source has no new\.py"):
        build.run(of_another_commit(task))


def test_the_pinned_commit_gets_no_such_hint(tmp_path: Path, upstream: Repo) -> None:
    task = task_of(tmp_path, upstream, targets=["new-tool"])

    with pytest.raises(ToolError, match="compile failed"):
        build.run(task)


def test_an_option_of_the_profile_that_cmake_does_not_know_is_named(
    tmp_path: Path, upstream: Repo
) -> None:
    """cmake only warns, and the build would silently be one for this processor."""
    options = [*OPTIONS, "-DGGML_NATIVE=OFF", "-DLLAMA_CURL=OFF"]
    task = of_another_commit(
        task_of(tmp_path, upstream, options), needed=["-DGGML_NATIVE=OFF", "-DANSWER=42"]
    )

    with pytest.raises(StepError, match=r"cmake does not know -DGGML_NATIVE=OFF\n"):
        build.run(task)


def test_flags_of_the_compiler_that_the_profile_forbids(tmp_path: Path, upstream: Repo) -> None:
    options = [*OPTIONS, "-DCMAKE_CXX_FLAGS=-march=native"]
    task = of_another_commit(task_of(tmp_path, upstream, options), refused="-m(arch|cpu)=native")

    with pytest.raises(StepError, match="upstream compiles with -march=native, which the profile"):
        build.run(task)


def test_flags_that_a_program_has_not_are_named_after_the_build(
    tmp_path: Path, upstream: Repo
) -> None:
    says = (
        'int main() { std::cout << "usage: -m FILE, --check " << answer() << std::endl; return 1; }'
    )
    (tmp_path / "tool.cpp").write_text(f"#include <iostream>\nint answer();\n{says}\n")
    calls = [
        ["{bin}/tool{exe}", "-m", "{input}", {"if": "x", "then": ["--never-asked"]}],
        ["{bin}/tool{exe}", "--check", "--no-display-prompt", "-no-cnv", "1"],
    ]
    task = task_of(tmp_path, upstream, overlay={"tool.cpp": "tool.cpp"}, self_test=[])

    with pytest.raises(StepError, match=r"tool has no --no-display-prompt, -no-cnv\n"):
        build.run(of_another_commit(task, calls=calls))


def test_another_commit_that_has_everything_is_built(tmp_path: Path, upstream: Repo) -> None:
    task = of_another_commit(task_of(tmp_path, upstream))

    build.run(task)

    assert tools_of(task.workdir) == "the answer is 42\n"


def test_a_tool_that_says_something_else_is_not_kept(tmp_path: Path, upstream: Repo) -> None:
    options = [*OPTIONS, "-DANSWER=41"]

    with pytest.raises(StepError, match="self-test ran but did not print 'the answer is 42'"):
        build.run(task_of(tmp_path, upstream, options))


def test_a_tool_that_the_processor_kills_is_explained(tmp_path: Path, upstream: Repo) -> None:
    (tmp_path / "mine.cpp").write_text("int answer() { __builtin_trap(); }\n")

    with pytest.raises(ToolError, match="self-test failed: it was killed by SIG"):
        build.run(task_of(tmp_path, upstream, overlay={"library.cpp": "mine.cpp"}))


def test_the_users_compiler_flags_do_not_leak_in(
    tmp_path: Path, upstream: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXXFLAGS", "-DANSWER=1 -nonsense")
    monkeypatch.setenv("CMAKE_GENERATOR", "Nonsense")
    task = task_of(tmp_path, upstream)

    build.run(task)

    assert tools_of(task.workdir) == "the answer is 42\n"
    assert os.environ["CXXFLAGS"]


def test_no_real_tool_of_a_build_sees_a_secret(
    tmp_path: Path, upstream: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    for name in ("cmake", "ninja"):
        shim(tools, name, f'exec "{build._tool(name)}" "$@"')
    passing_shim(tools, "c++")
    task = task_of(tmp_path, upstream)  # asks git for the commit, in this process
    passing_shim(tools, "git")
    first_on_path(monkeypatch, tools)
    monkeypatch.setattr(build, "_tool", lambda name: tools / name)
    set_secrets(monkeypatch)

    build.run(task)

    seen = {name: secrets_seen(tools, name) for name in ("cmake", "ninja", "c++", "git")}
    assert seen == {"cmake": set(), "ninja": set(), "c++": set(), "git": set(OF_GIT)}
