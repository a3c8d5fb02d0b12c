"""What the tools of a build see of the environment; tests/native/test_build_step.py builds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from git import Repo

from orchestrator.steps import build
from tests.support.shims import (
    OF_GIT,
    environment_of,
    first_on_path,
    passing_shim,
    secrets_seen,
    set_secrets,
    shim,
)
from tests.support.tasks import a_task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shims are shell scripts")
BUILD = {
    "cmakelists": "",
    "overlay": {},
    "targets": ["tool"],
    "binaries": ["."],
    "products": ["tool"],
    "sources": [],
    "self_test": [{"argv": ["{bin}/tool"], "expect": ""}],
}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """cmake, ninja, make and a compiler that note what they see; a compiler makes the tool."""
    folder = tmp_path / "bin"
    shim(folder, "c++", f'cp "{shim(folder, "tool")}" "$1/tool"')
    shim(folder, "ninja", 'c++ "$1"')
    shim(folder, "cmake", '[ "$1" != --build ] || ninja "$2"\nmkdir -p "$4"')
    shim(folder, "make", 'c++ "$2"')
    passing_shim(folder, "git")
    first_on_path(monkeypatch, folder)
    monkeypatch.setattr(build, "_tool", lambda name: folder / name)
    return folder


@pytest.mark.parametrize(
    ("system", "seeing"), [("cmake", ("cmake", "ninja", "c++")), ("make", ("make", "c++"))]
)
def test_no_tool_of_a_build_sees_a_secret_and_git_its_own_alone(
    tmp_path: Path,
    tools: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    seeing: tuple[str, ...],
) -> None:
    repo = Repo.init(tmp_path / "upstream")
    repo.git.execute(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--allow-empty", "-qm", "x"]
    )
    params = {
        "commit": repo.head.commit.hexsha,
        "build": {**BUILD, "system": system},
        "options": [],
    }
    context = {"source": {"git": f"file://{repo.working_dir}"}, "data": str(tmp_path)}
    set_secrets(monkeypatch)
    monkeypatch.setenv("CXX", "c++")

    build.run(a_task(tmp_path / "t", params, context))

    assert [secrets_seen(tools, name) for name in seeing] == [set() for _ in seeing]
    assert all(environment_of(tools, name)["CXX"] == "c++" for name in seeing)
    # What a killed compiler leaves in the folder for temporary files goes with the step.
    places = {Path(environment_of(tools, name)["TMPDIR"]) for name in seeing}
    assert all((tmp_path / "t") in place.parents for place in places)
    assert secrets_seen(tools, "tool") == set()
    assert "HOME" not in environment_of(tools, "tool")
    assert secrets_seen(tools, "git") == set(OF_GIT)
