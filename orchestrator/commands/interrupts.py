"""What Ctrl-C, SIGTERM and the end of a terminal do to a command."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from orchestrator.base.errors import Interrupted

_OUTPUTS = (1, 2)


@contextlib.contextmanager
def heeded(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` for each of these signals, instead of what was done before.

    A hang-up that is ignored (nohup) stays ignored.
    """
    terminals = [handle for handle in _OUTPUTS if os.isatty(handle)]

    def handle(_number: int, _frame: FrameType | None) -> None:
        _silence(terminals)
        stop()

    before = {number: signal.signal(number, handle) for number in _signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signals() -> Iterator[signal.Signals]:
    yield from (signal.SIGINT, signal.SIGTERM)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        yield hangup


def _silence(terminals: list[int]) -> None:
    """Let what is printed to a terminal that is gone be lost, where it would be an error."""
    for handle in terminals:
        if not os.isatty(handle):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, handle)
            os.close(nowhere)


def end() -> None:
    """End the command at once; raises KeyboardInterrupt."""
    raise KeyboardInterrupt


def stop_tools() -> None:
    """Stop the running tools; the runner, and what waits or asks, then raise Interrupted."""
    from orchestrator.base.process import run_process

    run_process.stop_all()


def abort() -> None:
    """End work of this process alone, where no tool runs, at once.

    Raises:
        Interrupted: Always; clients of servers pass it on.
    """
    raise Interrupted("interrupted", "run the same command again: it goes on from there")
