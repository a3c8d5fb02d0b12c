from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base import machine_info
from tests.hub import Hub, Repo
from tests.unit.cli.command import Command, Said
from tests.unit.cli.new_work import NAME, New
from tests.unit.fake_work import fake_kinds


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
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def new(orchestrate: Command, hub: Hub) -> New:
    """Serve a repository and have a recipe written for it."""

    def call(repo: Repo, *words: str | Path) -> Said:
        hub.repos["models"][NAME] = repo
        return orchestrate("new", NAME, *words)

    return call
