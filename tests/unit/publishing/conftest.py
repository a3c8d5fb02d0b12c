from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import machine
from tests.hub import Hub
from tests.hub.written import TOKEN
from tests.unit.cli.command import Command
from tests.unit.publishing.stand import Stand, lay_out


@pytest.fixture
def stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Stand:
    """A recipe that was not run yet."""
    place = tmp_path / "cwd"
    place.mkdir()
    lay_out(place)
    monkeypatch.chdir(place)
    monkeypatch.setattr(machine, "disk_free", lambda _: 10**12)
    monkeypatch.setattr(machine, "memory_total", lambda: 10**11)
    made = Stand(place, Command(monkeypatch, capsys), monkeypatch)
    made.write()
    return made


@pytest.fixture
def finished(stand: Stand) -> Stand:
    """A recipe whose files are made and passed."""
    said = stand.run()
    assert said.code == 0, said.out + said.err
    return stand


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that can be written to, and the token for it."""
    with Hub({}, writable=tmp_path / "hub") as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running
