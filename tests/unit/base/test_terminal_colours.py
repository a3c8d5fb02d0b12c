"""Which words are coloured, and who decides whether anything is."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path

import pytest

from orchestrator.base import terminal_colours
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import Outcome, StepResult
from orchestrator.base.terminal_colours import FAILURE, OK, QUIET, WARNING, Look
from orchestrator.base.text_table import table
from orchestrator.commands import display_run, shared_options
from orchestrator.engine.progress_listeners import Bars
from orchestrator.measures.check_status import Check, Status
from orchestrator.runs.collect_results import Result
from orchestrator.runs.report import Report, Row
from tests.support.fake_steps import RECIPE
from tests.support.plans import make_plan
from tests.support.scheduler_runs import a_step

SWITCHES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")
CHECK = "from orchestrator.cli import main; main()"


@pytest.mark.parametrize(
    ("word", "look"),
    [("ok", OK), ("failed", FAILURE), ("error", FAILURE), ("to do", WARNING), ("hit", QUIET)],
)
def test_a_status_word_has_the_colour_of_what_it_says(word: str, look: Look) -> None:
    assert terminal_colours.status(word) == look.paint(word)
    assert terminal_colours.plain(terminal_colours.status(word)) == word


def test_other_words_have_none() -> None:
    assert terminal_colours.status("split, send") == "split, send"


def test_columns_are_as_wide_as_what_is_seen_of_them() -> None:
    rows = [(terminal_colours.status("ok"), "1"), ("nothing", "22")]

    shown = table(("A", "B"), rows, right=(1,))

    assert terminal_colours.plain(shown).splitlines() == [
        "A         B",
        "ok        1",
        "nothing  22",
    ]


def test_only_the_verdict_of_a_recipe_called_ok_is_painted(tmp_path: Path) -> None:
    check = Check("structure", Status.FAIL, "NO such thing")
    row = Row("NO.gguf", "Q4_0", "", Status.FAIL, (check,), {})
    described = Report("ok", "", (row,), {})
    result = Result(make_plan(tmp_path), described, {}, {})

    shown = display_run.summary(result, Path("out"), ["ok: put aside"])

    failed = FAILURE.paint("failed")
    assert shown.splitlines()[1] == f"ok: {failed}"
    assert f"{failed}: NO.gguf: NO such thing" in shown.splitlines()
    assert "ok: put aside" in shown.splitlines()
    assert shown.count("\x1b[") == 2 * shown.count("failed")


def test_the_words_of_an_error_are_not_painted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from orchestrator import cli

    def refuse(**_settings: object) -> None:
        raise UsageError("NO such thing", "ok")

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(cli, "cli", refuse)
    with pytest.raises(SystemExit):
        cli.main()

    assert capsys.readouterr().err == f"{FAILURE.paint('error')}: NO such thing\n  ok\n"


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({}, None),
        ({"NO_COLOR": ""}, None),
        ({"NO_COLOR": "0"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, None),
        ({"CLICOLOR_FORCE": "1"}, True),
        ({"CLICOLOR": "0"}, False),
        ({"CLICOLOR": "1"}, None),
        ({"CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_the_environment_decides(environment: dict[str, str], chosen: bool | None) -> None:
    assert terminal_colours.chosen(environment) is chosen


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(
    ("switches", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"CLICOLOR": "0"}, False)],
)
@pytest.mark.parametrize(
    "arguments", [["check", str(RECIPE)], ["check", "none.yaml"], ["nonsense"]]
)
def test_a_terminal_shows_colours_unless_it_shall_not(
    switches: dict[str, str], coloured: bool, arguments: list[str], tmp_path: Path
) -> None:
    import pexpect

    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    environment |= {"TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path), **switches}

    shown = pexpect.run(
        f"{sys.executable} -c '{CHECK}' {' '.join(arguments)}",
        cwd=str(tmp_path),
        env=environment,
        timeout=60,
        encoding="utf-8",
    )

    assert isinstance(shown, str)
    assert ("\x1b[" in shown) is coloured, shown
    assert any(word in terminal_colours.plain(shown) for word in ("no problem found", "error: "))


def test_no_terminal_shows_none_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from orchestrator import cli

    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["orchestrate", "check", str(RECIPE)])
    with pytest.raises(SystemExit):
        cli.main()
    assert "\x1b[" not in capsys.readouterr().out

    monkeypatch.setenv("FORCE_COLOR", "1")
    with pytest.raises(SystemExit):
        cli.main()
    assert OK.paint("no problem found") in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def all_of(reader: int) -> str:
    """What a terminal shows whose other end is closed; it comes in pieces."""
    shown = b""
    with contextlib.suppress(OSError):  # EIO is the end of a terminal on Linux
        while piece := os.read(reader, 65536):
            shown += piece
    os.close(reader)
    return shown.decode()


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_progress_bars_are_bars_without_colours_too(
    no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = os.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        listener = shared_options._listener({"verbose": False, "log_json": None})
        listener.finished(StepResult(a_step("make it"), Outcome.FAILED, error="no"))
        listener.close()
    shown = all_of(reader)

    assert isinstance(listener, Bars)
    assert "✗ make it" in terminal_colours.plain(shown)
    assert (FAILURE.paint("✗ make it") in shown) is coloured
    assert bool(re.search(r"\x1b\[[0-9;]*[1-9][0-9;]*m", shown)) is coloured


@pytest.mark.parametrize("look", [OK, WARNING, FAILURE, QUIET])
def test_rich_shows_the_same(look: Look) -> None:
    from rich.style import Style

    assert Style.parse(look.rich).render("x") == look.paint("x")
