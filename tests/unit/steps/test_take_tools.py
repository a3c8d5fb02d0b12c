"""Taking installed tools: they are referred to, tried, and must be those that were looked at."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Task
from orchestrator.sources import git
from orchestrator.steps import take_tools
from tests.support.installed_tools import tool
from tests.support.tasks import a_task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tools are shell scripts")
TEST = {"argv": ["{bin}/tool", "try"], "expect": "fine"}


@pytest.fixture(autouse=True)
def upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of one script, in place of a repository."""

    def checkout(_source: Any, _commit: str, dest: Path, _task: Task) -> str:
        dest.mkdir()
        (dest / "convert.py").write_text("print()")
        return "somewhere"

    monkeypatch.setattr(git, "checkout", checkout)


def task(folder: Path, path: Path, *, tests: Any = (TEST,), **context: Any) -> Task:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    params = {
        "commit": "a" * 40,
        "tools": {"tool": sha256},
        "build": {"sources": ["*.py"], "self_test": list(tests)},
    }
    given = {"source": {}, "data": str(folder), "paths": {"tool": str(path)}, **context}
    return a_task(folder / "task", params, given)


def test_the_result_refers_to_the_tools_and_has_the_sources(tmp_path: Path) -> None:
    path = tool(tmp_path / "there", makes="x")
    asked = {"argv": ["{bin}/tool", "sample", "{output}", "{type}"], "types": ["Q4_0"]}

    one = task(tmp_path, path, compared=asked)
    facts = take_tools.run(one)

    assert facts["references"]["bin/tool"]["path"] == str(path)
    assert facts["bytes"] == {"Q4_0": hashlib.sha256(b"x Q4_0\n").hexdigest()}
    assert [found.name for found in one.workdir.rglob("*")] == ["src", "convert.py"]


def test_converters_that_a_build_left_are_taken_from_there(tmp_path: Path) -> None:
    kept = tmp_path / "build" / "src"
    kept.mkdir(parents=True)
    (kept / "kept.py").write_text("print()")

    one = task(tmp_path, tool(tmp_path / "there"), kept=str(kept), origin="sdist 1.0")

    assert take_tools.run(one)["origin"] == "sdist 1.0"
    assert [path.name for path in (one.workdir / "src").iterdir()] == ["kept.py"]


def test_a_tool_that_was_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    path = tool(tmp_path / "there")
    one = task(tmp_path, path)
    tool(tmp_path / "there", makes="something else")

    with pytest.raises(StepError, match="tool was changed since it was looked at"):
        take_tools.run(one)


def test_tools_that_fail_the_self_test_are_refused(tmp_path: Path) -> None:
    path = tool(tmp_path / "there")
    wrong = {"argv": ["{bin}/tool", "try"], "expect": "great"}

    with pytest.raises(StepError, match="did not print 'great'"):
        take_tools.run(task(tmp_path, path, tests=[wrong]))


def test_a_part_of_the_self_test_whose_program_is_not_there_is_left_out(tmp_path: Path) -> None:
    path = tool(tmp_path / "there")
    other = {"argv": ["{bin}/bench", "try"], "expect": "fast"}

    facts = take_tools.run(task(tmp_path, path, tests=[TEST, other], absent=["{bin}/bench"]))

    assert facts["origin"] == "somewhere"


def test_a_flag_that_the_tools_do_not_have_is_named(tmp_path: Path) -> None:
    path = tool(tmp_path / "there")

    with pytest.raises(StepError, match="tool has no --new-flag") as told:
        take_tools.run(task(tmp_path, path, calls=[["{bin}/tool", "--dry-run", "--new-flag"]]))
    assert "not those of that commit" in told.value.hint
