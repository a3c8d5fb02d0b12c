from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import machine
from tests.unit.cli.command import Command
from tests.unit.fake_work import fake_kinds


@pytest.fixture
def orchestrate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(machine, "disk_free", lambda _: 10**12)
    monkeypatch.setattr(machine, "memory_total", lambda: 10**11)
    return Command(monkeypatch, capsys)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_kinds(monkeypatch)
