"""The program's start: signals are heeded before anything is imported that takes time."""

from __future__ import annotations

import atexit
import gc
import os

from orchestrator.base.errors import EXIT_INTERRUPTED
from orchestrator.commands import interrupts


def _leave() -> None:
    """End at once: nothing has begun that would have to be cleaned up."""
    os._exit(EXIT_INTERRUPTED)


def main() -> None:
    """The console script."""
    # What is made in a run mostly stays until its end: looking for garbage takes a tenth of it.
    gc.set_threshold(100_000, 20, 20)
    atexit.register(gc.freeze)  # and at its end as much again
    with interrupts.heeded(_leave):
        from orchestrator import cli  # noqa: PLC0415 - after the signals

        cli.main()


if __name__ == "__main__":
    main()
