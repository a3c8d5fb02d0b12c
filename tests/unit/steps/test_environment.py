"""What Python and pip see while an environment is made; tests/native makes real ones."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.steps import environment
from tests.support.shims import OF_PIP, environment_of, secrets_seen, set_secrets, shim
from tests.support.tasks import a_task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shims are shell scripts")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An interpreter whose environments note what pip and an imported package see."""
    folder = tmp_path / "bin"
    pip, imported = shim(folder, "pip"), shim(folder, "imported")
    chosen = f'case "$1 $3" in "-m install") exec "{pip}";; "-c "*) exec "{imported}";; esac'
    inside = shim(folder, "inside", chosen)
    makes = f'mkdir -p "$3/bin" && cp "{inside}" "$3/bin/python"'
    python = SimpleNamespace(executable=str(shim(folder, "python", makes)))
    monkeypatch.setattr(environment, "sys", python)
    return folder


@pytest.mark.parametrize("compiler", ["", "g++"])
def test_what_packages_need_without_a_compiler_is_said_where_there_is_none(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    found = (lambda name: name if name == compiler else None) if compiler else lambda _name: None
    monkeypatch.setattr(shutil, "which", found)
    params = {"requirements": "six\n", "install_env": {"CMAKE_ARGS": "-DX=OFF"}}
    context = {
        "imports": [],
        "extra_index": "",
        "without_compiler": {"CMAKE_ARGS": "-DCC={python}"},
    }

    environment.run(a_task(tmp_path / "t", params, context))

    said = environment_of(tools, "pip")["CMAKE_ARGS"]
    assert said == ("-DX=OFF" if compiler else f"-DCC={tools / 'python'}")


def test_the_index_with_its_password_is_seen_by_pip_alone(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_secrets(monkeypatch)
    params = {"requirements": "six\n", "install_env": {"CMAKE_ARGS": "-DX=OFF"}}

    environment.run(a_task(tmp_path / "t", params, {"imports": ["six"], "extra_index": ""}))

    assert secrets_seen(tools, "pip") == set(OF_PIP)
    assert environment_of(tools, "pip")["CMAKE_ARGS"] == "-DX=OFF"
    assert secrets_seen(tools, "python") == set()  # python -m venv
    assert secrets_seen(tools, "imported") == set()
