"""The command line as a user types it: in this process, or in one that a test may kill."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import cli

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes"
TINY = RECIPES / "tiny" / "llama.yaml"
MODELS = RECIPES / "tiny" / "models"
PATIENCE = 120.0


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both outputs."""
        return self.out + self.err


def typed(*words: str | Path, home: Path | None = None) -> Said:
    """Type a command; ``home`` is the store when it is not the environment's."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["orchestrate", *map(str, words)])
        if home is not None:
            patch.setenv("ORCHESTRATE_HOME", str(home))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as stop:
                code = stop.code
    assert "bug:" not in err.getvalue(), err.getvalue()
    return Said(int(code or 0), out.getvalue(), err.getvalue())


class Running:
    """A command in a process and a process group of its own."""

    def __init__(self, *words: str | Path, home: Path, **settings: Any) -> None:
        program = "from orchestrator.__main__ import main; main()"
        self.home = home
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, words)],
            cwd=ROOT,
            env={**os.environ, "ORCHESTRATE_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **settings,
        )

    def __iter__(self) -> Iterator[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            yield self.lines[-1]

    def until(self, start: str) -> None:
        """Read on to a line that starts so."""
        for line in self:
            if line.startswith(start):
                return
        raise AssertionError(f"no line starts with {start!r}:\n{self.text}")

    @property
    def text(self) -> str:
        """What it printed so far."""
        return "\n".join(self.lines)

    def interrupt(self) -> None:
        """What a terminal does on Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """What nobody can catch: kill -9 of this process alone."""
        self.process.kill()

    def ended(self) -> int:
        """Read to the end; the exit code."""
        for _ in self:
            continue
        return self.process.wait(PATIENCE)


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait for what another process is about to bring about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.01)


def processes(home: Path) -> dict[int, str]:
    """Command lines of the processes that have to do with a store."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            )
            if str(home) in words or str(home) in str((folder / "cwd").readlink()):
                found[int(folder.name)] = words
    return found


def events(path: Path) -> list[dict[str, Any]]:
    """What ``--log-json`` wrote; a last line may have been cut by a kill."""
    lines = path.read_text("utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def ended(path: Path, outcome: str) -> Counter[str]:
    """How often the step of each label ended so."""
    return Counter(
        event["label"]
        for event in events(path)
        if event["event"] == "finished" and event["outcome"] == outcome
    )


def artifacts(home: Path) -> dict[str, list[Path]]:
    """Folders of the artifacts that a test's own store holds, by the kind of step.

    Those of tool chains are links into the user's cache and not among them.
    """
    found: dict[str, list[Path]] = {}
    for folder in (home / "artifacts").glob("??/*"):
        if not folder.is_symlink():
            manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
            found.setdefault(manifest["kind"], []).append(folder)
    return found


def variant(folder: Path, fields: Mapping[str, Any], base: Path = TINY) -> Path:
    """A recipe that says some things otherwise than ``base``."""
    path = folder / "variant.yaml"
    named = {"extends": str(base), "name": "tiny-llama", **fields}
    text = yaml.safe_dump(named, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    return path


TYPES = ("Q4_0", "Q4_K_M", "IQ4_XS", "Q8_0")


STATED: dict[str, str] = yaml.safe_load(TINY.read_text("utf-8"))["verify"]["sha256"]
