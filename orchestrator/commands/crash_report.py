"""What is said of an error that nobody expected: one sentence, and a file to send."""

from __future__ import annotations

import platform
import sys
import tempfile
import traceback
from pathlib import Path

from orchestrator import __version__
from orchestrator.base.process.environment_variables import censored
from orchestrator.base.terminal_colours import status


def report(error: Exception) -> str:
    """Write versions and traceback to a file; give the sentence that names it."""
    lines = [
        f"orchestrate {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"arguments: {sys.argv[1:]}",
        "",
        *traceback.format_exception(error),
    ]
    with tempfile.NamedTemporaryFile(
        "w", prefix="orchestrate-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(censored("\n".join(lines)))
    return (
        f"{status('bug')}: {type(error).__name__}: {error}\n"
        f"  This should not happen; please send {Path(file.name)} to the authors."
    )
