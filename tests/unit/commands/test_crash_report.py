"""What is said of an error that nobody expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.terminal_colours import plain
from orchestrator.commands.crash_report import report


def test_a_bug_is_a_sentence_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["orchestrate", "run", "x.yaml"])
    with pytest.raises(ZeroDivisionError) as caught:
        divmod(1, 0)
    said = plain(report(caught.value))

    [file] = tmp_path.iterdir()
    assert said.startswith("bug: ZeroDivisionError: ")
    assert str(file) in said
    content = file.read_text()
    for part in (
        "orchestrate 0",
        "Python 3",
        "['run', 'x.yaml']",
        "Traceback",
        Path(__file__).name,
    ):
        assert part in content
