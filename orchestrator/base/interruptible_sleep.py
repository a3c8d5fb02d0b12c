"""Waiting that Ctrl-C ends; time.sleep alone goes on after a signal was handled (PEP 475)."""

from __future__ import annotations

import time

from orchestrator.base.process import run_process

_SLICE_SECONDS = 0.25


def sleep(seconds: float) -> None:
    """Wait, unless the run is interrupted.

    Raises:
        Interrupted: ``process.stop_all`` was called.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        run_process.check_stopped()
        time.sleep(min(left, _SLICE_SECONDS))
