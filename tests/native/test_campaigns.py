"""Short rounds of the campaigns with real tools: kills and full disks of a few commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.campaigns import disks, kills
from tests.support.warm_store import Finished


@pytest.mark.campaign
def test_a_short_round_of_kills_finds_nothing(finished: Finished, tmp_path: Path) -> None:
    report = kills.round_of(tmp_path, seed=0, seconds=8.0, least=4, finished=finished)

    assert report.faults == []
    assert report.tries >= 4


@pytest.mark.campaign
def test_a_short_round_of_full_disks_finds_nothing(finished: Finished, tmp_path: Path) -> None:
    if not disks.may_mount(tmp_path / "mount"):
        pytest.skip("only root may mount a tmpfs; files get a largest size in test_survival.py")
    report = disks.round_of(tmp_path, seed=0, seconds=8.0, least=3, finished=finished)

    assert report.faults == []
    assert report.tries >= 3
