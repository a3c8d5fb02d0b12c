"""What processes that were killed leave in the place for temporary files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orchestrator.engine.cluster import own_folder

KILLED = """
import os, sys, tempfile
from orchestrator.engine.cluster import own_folder
tempfile.tempdir = sys.argv[1]
with own_folder.temporary("worker") as folder:
    (folder / "job-1").mkdir()
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_goes_and_what_others_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob("orchestrate-worker-*/job-1"))) == 1
    (tmp_path / "orchestrate-worker-notes").mkdir()

    with own_folder.temporary("worker") as first, own_folder.temporary("worker") as second:
        assert {one.name for one in tmp_path.iterdir()} == {
            *(first.name, second.name, "orchestrate-worker-notes")
        }
    assert [one.name for one in tmp_path.iterdir()] == ["orchestrate-worker-notes"]
