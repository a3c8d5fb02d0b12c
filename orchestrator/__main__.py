"""The program's start: signals are heeded before anything is imported that takes time."""

from __future__ import annotations

import os

from orchestrator.base.errors import EXIT_INTERRUPTED
from orchestrator.commands import interrupts


def _leave() -> None:
    """End at once: nothing has begun that would have to be cleaned up."""
    os._exit(EXIT_INTERRUPTED)


def main() -> None:
    """The console script."""
    with interrupts.heeded(_leave):
        from orchestrator import cli  # noqa: PLC0415 - after the signals

        cli.main()


if __name__ == "__main__":
    main()
