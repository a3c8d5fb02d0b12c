"""Rows for a history of the tests' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.history import Alarm, Ended, FileRow, History, StepRow

SHA = "ab" * 32


def a_file(name: str = "Q4_0", **changes: Any) -> FileRow:
    values: dict[str, Any] = {
        "file": f"tiny-{name}.gguf",
        "type": name,
        "sha256": SHA,
        "status": "pass",
        "size": 1_000_000,
        "bits_per_weight": 4.5,
        "perplexity": 5.0,
        "kld": 0.01,
        "generation_per_second": 100.0,
    }
    return FileRow(**{**values, **changes})


def a_step(label: str = "quantize tiny to Q4_0", **changes: Any) -> StepRow:
    values: dict[str, Any] = {
        "key": "c" * 64,
        "kind": "quantize",
        "label": label,
        "outcome": "done",
        "seconds": 1.5,
        "peak_memory": 10**6,
        "exit": 0,
    }
    return StepRow(**{**values, **changes})


def a_run(
    history: History,
    *files: FileRow,
    night: int = 0,
    recipe: str = "tiny",
    state: str = "ok",
    commit: str = "1" * 40,
    alarms: tuple[Alarm, ...] = (),
    **ended: Any,
) -> int:
    """A run that began and ended; its number."""
    run = history.begin_run(
        recipe,
        Path("recipes") / f"{recipe}.yaml",
        "d" * 64,
        night=night,
        toolchain="llama.cpp",
        commit=commit,
        source="https://example.invalid/llama.cpp",
    )
    history.end_run(run, Ended(state, files=files, alarms=alarms, **ended))
    return run
