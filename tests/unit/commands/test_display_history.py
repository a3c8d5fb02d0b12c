"""What the command ``history`` shows."""

from __future__ import annotations

import pytest

from orchestrator.base.errors import StepError
from tests.support.command_line import Command, without_checksums
from tests.support.fake_steps import fails_for, fake_kinds


def test_the_runs_of_a_recipe_have_whole_errors_and_where_the_logs_lie(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = f"the tool broke, {'and again, ' * 20}for good"
    fake_kinds(monkeypatch, quantize=fails_for("tiny-llama", StepError(reason)))
    orchestrate("run", without_checksums())

    short = orchestrate("history").out
    assert "the tool broke, and again" in short
    assert "…" in short
    assert "for good" not in short

    whole = orchestrate("history", "tiny-llama").out
    assert reason in whole
    [log] = {line.partition("all of it: ")[2] for line in whole.splitlines() if "all of" in line}
    assert log.endswith(".log")
