"""Giving the terminal to another program."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.base.process import replace_process

_PROGRAM = """
import os, sys
from orchestrator.base.process.replace_process import replace
print("before", os.getpid())
there = "import os; print(os.getpid(), os.environ['ONLY']); raise SystemExit(7)"
replace([sys.executable, "-c", there], {"ONLY": "this", "PATH": os.environ["PATH"]})
"""


def test_the_program_takes_the_place_of_this_process_with_its_own_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False
    )
    before, after = done.stdout.splitlines()
    assert after == f"{before.split()[1]} this"
    assert done.returncode == 7


def test_a_program_that_cannot_be_started_is_an_error_of_the_machine() -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be started"):
        replace_process.replace(["/no/such/program"], {})
