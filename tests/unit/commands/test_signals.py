"""Ctrl-C and SIGTERM, for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.child_processes import named_pipe, read_pids, wait_for_end
from tests.support.fake_steps import RECIPE, ROOT

SLOW = """
import sys
from orchestrator import cli
from orchestrator.engine import step_kinds as kinds
from orchestrator.toolchain import call_verb as native
from tests.support.child_processes import FAMILY
from tests.support.scheduler_runs import Own

def slow(task):
    native.launch(task, [sys.executable, "-c", FAMILY, sys.argv[-1]], cwd=task.scratch)

kinds.KINDS["build"] = Own("", work=slow)
sys.argv[1:-1] = ["run", sys.argv[1]]
arguments, sys.argv = sys.argv, sys.argv[:-1]
pipe = arguments[-1]
slow.__globals__["sys"] = type("Sys", (), {"executable": sys.executable, "argv": [pipe]})
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_with_130(tmp_path: Path, number: signal.Signals) -> None:
    pipe = named_pipe(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    argv = [sys.executable, "-c", SLOW, str(RECIPE), str(pipe)]
    with subprocess.Popen(
        argv, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as running:
        pids = read_pids(pipe, 3)
        running.send_signal(number)
        _, said = running.communicate(timeout=60)

    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert "interrupted" in said
    assert all(wait_for_end(pid) for pid in pids)
    assert not list((Path(os.environ["ORCHESTRATE_HOME"]) / "staging").glob("*"))
