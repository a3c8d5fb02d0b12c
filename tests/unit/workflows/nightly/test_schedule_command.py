"""What --print prints starts the night that the command line describes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.base import machine_info
from tests.support.command_line import Command


def test_the_line_of_cron_has_every_option_and_none_that_was_not_given(
    orchestrate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "my store"))
    Path("recipes").mkdir()

    said = orchestrate(
        *("nightly", "recipes", "--select", "*7b*", "--site", "site", "--max-hours", "5.5"),
        *("--max-store", "200G", "--rebuild", "-t", "4", "--offline", "--print", "cron"),
        *("--keep-logits", "40G"),
    )

    words = shlex.split(said.out.splitlines()[-1].split(" ", 5)[5])
    start = words.index("nightly")
    assert said.code == 0
    assert words[start : words.index("--offline") + 1] == [
        *("nightly", "recipes", "--select", "*7b*", "--site", "site", "--max-hours", "5.5"),
        *(
            "--max-store",
            "200GB",
            "--threads",
            "4",
            "--keep-logits",
            "40GB",
            "--rebuild",
            "--offline",
        ),
    ]
    assert f"ORCHESTRATE_HOME={tmp_path / 'my store'}" in words
    assert Path(words[start - 1]).name == "orchestrate"


def test_without_a_console_script_the_line_starts_the_module(
    orchestrate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lonely = tmp_path / "bin" / "python"
    lonely.parent.mkdir()
    lonely.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(lonely))

    words = shlex.split(orchestrate("nightly", "recipes", "--print", "cron").out.splitlines()[-1])

    module = words[words.index("-m") + 1]
    program = [sys.orig_argv[0], "-m", module, "--version"]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=path)
    assert done.stdout.startswith("orchestrate, version")


def test_a_service_may_write_where_the_night_writes_and_not_take_all_memory(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "/srv/hub")
    monkeypatch.setattr(machine_info, "memory_total", lambda: 10 << 30)

    said = orchestrate("nightly", "recipes", "--site", "/srv/site", "--print", "systemd")

    writable = [line for line in said.out.splitlines() if line.startswith("ReadWritePaths=")]
    for place in ("/srv/hub", "/srv/site", str(Path("dist").absolute())):
        assert any(line.endswith(place) for line in writable), place
    assert f"MemoryMax={9 << 30}" in said.out


def test_printing_does_nothing_else(orchestrate: Command, tmp_path: Path) -> None:
    for kind in ("systemd", "cron", "github-actions"):
        assert orchestrate("nightly", "recipes", "--print", kind).code == 0

    assert list(Path().iterdir()) == []
