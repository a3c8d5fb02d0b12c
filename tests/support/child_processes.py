"""What the tests of processes share: small tools, and waiting for the end of processes."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from orchestrator.base.process import run_process
from orchestrator.base.process.run_process import Completed

PATIENCE = 30.0  # seconds until a test that waits for an event gives up


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


def run(tmp_path: Path, argv: list[str], **options: object) -> Completed:
    return run_process.run(argv, cwd=tmp_path, log=tmp_path / "log", **options)  # type: ignore[arg-type]


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "log").read_text()


def wait_for_end(pid: int) -> bool:
    """Wait until a process that need not be a child has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], PATIENCE)[0])
    finally:
        os.close(handle)


def read_pids(fifo: Path, count: int) -> list[int]:
    """Read the pids that processes write to a named pipe, one a line."""
    pids: list[int] = []
    with fifo.open() as lines:
        while len(pids) < count and (line := lines.readline()):
            pids.append(int(line))
    assert len(pids) == count
    return pids


def named_pipe(tmp_path: Path) -> Path:
    fifo = tmp_path / "pids"
    os.mkfifo(fifo)
    return fifo


# A tool with a child in its group and a grandchild that fled into a session of its own;
# all three write their pids and then sleep for ever.
FAMILY = """
import os, signal, sys, time
out = os.open(sys.argv[1], os.O_WRONLY)
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
os.write(out, b"%d\\n" % os.getpid())
os.close(out)
while True:
    time.sleep(1000)
"""
