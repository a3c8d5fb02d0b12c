"""What a person reads after a run: each trouble once, with the files that have it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from orchestrator.commands import display_run
from orchestrator.measures.check_status import Check, Status
from orchestrator.runs.report import Report, Row

PARIS = Check("smoke", Status.FAIL, "nothing matches 'Paris'")


def said(*checks: tuple[Check, ...]) -> list[str]:
    """The lines between the table and the folder."""
    rows = tuple(
        Row(f"tiny-{place}.gguf", f"Q{place}", "ab" * 32, Status.FAIL, found, {})
        for place, found in enumerate(checks)
    )
    result: Any = SimpleNamespace(report=Report("tiny", "", rows, {}))
    text = click.unstyle(display_run.summary(result, Path("dist"), []))
    return [line for line in text.splitlines() if line.startswith(("failed: ", "warning: "))]


def test_what_all_files_have_is_said_once() -> None:
    assert said((PARIS, PARIS), (PARIS,)) == ["failed: all 2 files: nothing matches 'Paris'"]


def test_what_some_have_names_them_and_other_words_are_a_line_of_their_own() -> None:
    warned = Check("size", Status.WARN, "it is large")
    lines = said((PARIS,), (warned,), (PARIS,), (), ())
    assert lines == [
        "failed: tiny-0.gguf, tiny-2.gguf: nothing matches 'Paris'",
        "warning: tiny-1.gguf: it is large",
    ]
    many = said(*[(PARIS,)] * 5, ())
    assert many == [
        "failed: tiny-0.gguf, tiny-1.gguf, tiny-2.gguf and 2 more files: nothing matches 'Paris'"
    ]


def test_one_file_keeps_its_name() -> None:
    assert said((PARIS,)) == ["failed: tiny-0.gguf: nothing matches 'Paris'"]
