"""Ctrl-C and SIGTERM, for real."""

from __future__ import annotations

import os
import pty
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


# The whole program, held at the import of a module (the last argument but one) until a file
# (the last) is there: by then it has received a signal.
HELD = """
import importlib.abc, pathlib, sys, time
module, released = sys.argv[-2], pathlib.Path(sys.argv[-1])
del sys.argv[-2:]

class Hold(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            print("held", flush=True)
            while not released.exists():
                time.sleep(0.01)

sys.meta_path.insert(0, Hold())
from orchestrator.__main__ import main
main()
"""
# While importing, reading recipes, resolving sources, running.
MOMENTS = (
    "click",
    "orchestrator.runs.load_and_plan",
    "orchestrator.runs.session",
    "orchestrator.sources.text_corpus",
    "orchestrator.toolchain.families",
    "filelock",
)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_at_any_moment_ends_with_130(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    argv = [sys.executable, "-c", HELD, "run", str(RECIPE), "--out", str(tmp_path / "dist")]
    with subprocess.Popen(
        [*argv, moment, str(tmp_path / "go")],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "held\n"
        running.send_signal(number)
        (tmp_path / "go").touch()
        said = running.stdout.read()

    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert not (tmp_path / "dist").exists()
    assert not list((Path(os.environ["ORCHESTRATE_HOME"]) / "staging").glob("*"))


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_the_end_of_a_terminal_ends_all_tools(tmp_path: Path) -> None:
    pipe = named_pipe(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        argv = [sys.executable, "-c", SLOW, str(RECIPE), str(pipe)]
        os.execve(sys.executable, argv, environment)
    pids = read_pids(pipe, 3)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 130
    assert all(wait_for_end(one) for one in pids)
    assert not list((Path(os.environ["ORCHESTRATE_HOME"]) / "staging").glob("*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
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
