"""Rows for a history of the tests' own."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from orchestrator.history import Alarm, Ended, FileRow, History, StepRow
from orchestrator.measures import registry

_FACTS = {one.name for one in fields(FileRow)}
SHA = "ab" * 32


def a_file(name: str = "Q4_0", **changes: Any) -> FileRow:
    """A row; numbers by their keys, those that are None are not known."""
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
    values |= changes
    facts = {name: value for name, value in values.items() if name in _FACTS}
    return with_numbers(FileRow(**facts), **{n: v for n, v in values.items() if n not in facts})


def with_numbers(row: FileRow, **values: float | None) -> FileRow:
    """The row with other numbers, by their keys in reports; None takes one away."""
    numbers = {name: dict(found) for name, found in row.numbers.items()}
    for measure, number in registry.numbers():
        if number.key in values:
            numbers.setdefault(measure.name, {})[number.name] = values.pop(number.key)
    assert not values
    known = {
        name: {one: value for one, value in found.items() if value is not None}
        for name, found in numbers.items()
    }
    return replace(row, numbers={name: found for name, found in known.items() if found})


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
