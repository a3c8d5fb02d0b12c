"""Python environments for real: venv and pip, with a package index on this machine."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.process.run_process import ToolError
from orchestrator.base.step_values import Task
from orchestrator.steps import environment
from tests.support.package_index import Index, running
from tests.support.tasks import a_task


def wheel(code: str, version: str = "1.0") -> bytes:
    """A wheel with one module."""
    info = f"small-{version}.dist-info"
    files = {
        "small.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: small\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            bundle.writestr(name, text)
    return buffer.getvalue()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running() as one:
        monkeypatch.setenv("PIP_INDEX_URL", one.url)
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.delenv("PIP_NO_INDEX", raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        yield one


def task_of(folder: Path, requirements: str, extra: str = "", **rest: Any) -> Task:
    params = {"requirements": requirements, "install_env": {"SMALL_FLAG": "on"}}
    context = {"imports": ["small"], "extra_index": extra}
    return a_task(folder, params, context, **rest)


def test_an_environment_can_be_moved(tmp_path: Path, index: Index) -> None:
    index.add("small", "small-1.0-py3-none-any.whl", wheel("word = 'hello'\n"))
    task = task_of(tmp_path / "t", "small==1.0\n", index.url)

    facts = environment.run(task)

    assert "small==1.0" in facts["packages"]
    moved = tmp_path / "elsewhere"
    task.workdir.rename(moved)
    python = moved / "venv" / "bin" / "python"
    code = "import small, sys; print(small.word, sys.prefix)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["hello", str(moved / "venv")]
    assert f"--extra-index-url {index.url}" in task.log.read_text()


def test_a_layer_holds_the_named_packages_alone_and_comes_before_the_environment(
    tmp_path: Path, index: Index
) -> None:
    index.add("small", "small-1.0-py3-none-any.whl", wheel("word = 'hello'\n"))
    base = task_of(tmp_path / "base", "small==1.0\n")
    environment.run(base)
    index.add("small", "small-2.0-py3-none-any.whl", wheel("word = 'other'\n", "2.0"))
    inputs = {"environment": base.workdir}
    task = a_task(tmp_path / "layer", {"packages": ["small==2.0"]}, {"extra_index": ""}, inputs)

    assert environment.run(task) == {"packages": ["small==2.0"]}

    packages = task.workdir / "packages"
    assert "small.py" in {path.name for path in packages.iterdir()}
    python = base.workdir / "venv" / "bin" / "python"
    env = {"PYTHONPATH": str(packages)}
    argv = [str(python), "-c", "import small; print(small.word)"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "other"


def test_a_package_that_does_not_import_is_found_at_once(tmp_path: Path, index: Index) -> None:
    index.add("small", "small-1.0-py3-none-any.whl", wheel("raise OSError('no library')\n"))

    with pytest.raises(ToolError, match="import small failed") as caught:
        environment.run(task_of(tmp_path, "small==1.0\n"))
    assert "no library" in caught.value.tail


def test_a_version_that_is_not_to_be_had(tmp_path: Path, index: Index) -> None:
    index.add("small", "small-1.0-py3-none-any.whl", wheel(""))

    with pytest.raises(StepError, match=r"for Python 3\.\d+: .*small==2\.0"):
        environment.run(task_of(tmp_path, "small==2.0\n"))


def test_an_index_out_of_reach(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")

        with pytest.raises(EnvironmentProblem, match="the package index cannot be reached"):
            environment.run(task_of(tmp_path, "small==1.0\n", f"{address}/extra"))

    assert "--extra-index-url" not in (tmp_path / "log").read_text()


def test_offline_no_index_is_asked(tmp_path: Path, index: Index) -> None:
    with pytest.raises(EnvironmentProblem, match=r"is not stored here\n  Run once without"):
        environment.run(task_of(tmp_path, "small==1.0\n", offline=True))
    assert index.asked == []


def test_without_venv_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    with pytest.raises(EnvironmentProblem, match="venv module does not work"):
        environment.run(task_of(tmp_path / "t", ""))
