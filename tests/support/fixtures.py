"""Fixtures of several rooms: the command line with faked work, and recipes for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base import machine_info
from tests.support.command_line import Command, without_checksums
from tests.support.fake_steps import fake_kinds


@pytest.fixture
def orchestrate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(machine_info, "disk_free", lambda _: 10**12)
    monkeypatch.setattr(machine_info, "memory_total", lambda: 10**11)
    return Command(monkeypatch, capsys)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_kinds(monkeypatch)


@pytest.fixture
def recipes(orchestrate: Command) -> Path:
    """A folder with two sound recipes, ``one`` and ``two``."""
    text = without_checksums().read_text()
    folder = Path("recipes")
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text(text.replace("name: tiny-llama", f"name: {name}"))
    return folder
