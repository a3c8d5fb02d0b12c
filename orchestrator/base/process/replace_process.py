"""Give this terminal to another program."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from orchestrator.base.errors import EnvironmentProblem


def replace(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Become a program: keys, signals, output and exit code are its own from here on.

    Args:
        argv: The program's path and its arguments.
        env: All of its environment.

    Raises:
        EnvironmentProblem: It cannot be started.
        SystemExit: On Windows, which replaces no process, when it has ended.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if sys.platform == "win32":
            raise SystemExit(os.spawnvpe(os.P_WAIT, argv[0], list(argv), dict(env)))  # noqa: S606
        os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606
    except OSError as error:
        raise EnvironmentProblem(
            f"{argv[0]} cannot be started: {error.strerror}",
            "Check that it is built for this machine: 'orchestrate doctor'.",
        ) from error
