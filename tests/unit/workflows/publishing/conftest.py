from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import cli
from orchestrator.base import machine_info
from tests.hub import Hub
from tests.hub.written import TOKEN
from tests.support.command_line import Command
from tests.support.fake_steps import fake_kinds
from tests.support.publications import RECIPE, RecipeFolder, lay_out, weights


def prepare(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``place`` the working folder of a machine with room."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(machine_info, "disk_free", lambda _: 10**12)
    monkeypatch.setattr(machine_info, "memory_total", lambda: 10**11)


@pytest.fixture
def recipe_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RecipeFolder:
    """A recipe that was not run yet."""
    place = tmp_path / "cwd"
    place.mkdir()
    lay_out(place)
    prepare(place, monkeypatch)
    made = RecipeFolder(place, Command(monkeypatch, capsys), monkeypatch)
    made.write()
    return made


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, made once: the working folder ``cwd`` and its ``store``."""
    root = tmp_path_factory.mktemp("finished")
    place = root / "cwd"
    place.mkdir()
    lay_out(place)
    (place / "small.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()):
        prepare(place, patch)
        made = lambda task: weights(task, None)  # noqa: E731 - one line
        fake_kinds(patch, quantize=made, convert=made)
        patch.setenv("ORCHESTRATE_HOME", str(root / "store"))
        patch.setattr(sys, "argv", ["orchestrate", "run", "small.yaml"])
        with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code
    return root


@pytest.fixture
def finished(run_once: Path, recipe_folder: RecipeFolder) -> RecipeFolder:
    """A recipe whose files are made and passed; a copy that a test may spoil."""
    shutil.rmtree(recipe_folder.place)
    shutil.copytree(run_once / "cwd", recipe_folder.place)
    home = Path(os.environ["ORCHESTRATE_HOME"])
    home.rmdir()
    shutil.copytree(run_once / "store", home, symlinks=True)
    recipe_folder.monkeypatch.chdir(recipe_folder.place)
    recipe_folder.fake()
    return recipe_folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that can be written to, and the token for it."""
    with Hub({}, writable=tmp_path / "hub") as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running
