"""Jobs for the tests of schedules, with names as bad as file systems allow."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import strategies as st

from orchestrator.workflows.nightly.schedule_files import Job

_BAD = " %$\"'\\;#&|<>(){}[]*?!~`=:@+-,\u00e9\u2603\U0001f680"
_ANY = st.characters(
    exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn"), exclude_characters="/\ufeff"
)
WORDS = st.text(st.one_of(st.sampled_from(_BAD), _ANY), max_size=20)
NAMES = WORDS.filter(lambda name: name not in ("", ".", ".."))


def job(*arguments: str, folder: Path = Path("/srv/models"), **changed: object) -> Job:
    """A job as the command makes it, with what a test changes."""
    values: dict[str, object] = {
        "arguments": arguments or ("recipes/",),
        "folder": folder,
        "home": Path("/srv/store"),
        "program": ("/usr/bin/env", "orchestrate"),
        "threads": None,
        "memory": None,
        "writable": (Path("/srv/models/dist"),),
        **changed,
    }
    return Job(**values)  # type: ignore[arg-type]


def program(path: Path, text: str) -> Path:
    """A shell script that can be started."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)
    return path


def called(
    argv: Sequence[str | Path], env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a checker and return what it said, both outputs together."""
    return subprocess.run(
        [str(word) for word in argv],
        env=None if env is None else dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def missing(tool: str) -> bool:
    return shutil.which(tool) is None
