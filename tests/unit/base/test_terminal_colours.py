"""Which words are coloured, and who decides whether anything is."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path

import pytest

from orchestrator.base import terminal_colours
from orchestrator.base.step_values import Outcome, StepResult
from orchestrator.base.terminal_colours import FAILURE, OK, QUIET, WARNING
from orchestrator.commands import shared_options
from orchestrator.engine.progress_listeners import Bars
from tests.support.fake_steps import RECIPE
from tests.support.scheduler_runs import a_step

SWITCHES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")
CHECK = "from orchestrator.cli import main; main()"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tiny: ok", f"tiny: {OK.paint('ok')}"),
        ("a.gguf  1 MB  ok", f"a.gguf  1 MB  {OK.paint('ok')}"),
        ("FAILED: a.gguf: too large", f"{FAILURE.paint('FAILED')}: a.gguf: too large"),
        ("error: no", f"{FAILURE.paint('error')}: no"),
        ("warning: old", f"{WARNING.paint('warning')}: old"),
        ("to do  build", f"{WARNING.paint('to do')}  build"),
        ("hit    build", f"{QUIET.paint('hit')}    build"),
        ("NO  git: none", f"{FAILURE.paint('NO')}  git: none"),
        ("Verdict: same tensors (only)", f"Verdict: {WARNING.paint('same tensors')} (only)"),
        ("✓ convert it", f"{OK.paint('✓')} convert it"),
        ("| tiny | alarm | 5 |", f"| tiny | {FAILURE.paint('alarm')} | 5 |"),
        ("it is ok so far, no error", "it is ok so far, no error"),
        ("okay: hitherto", "okay: hitherto"),
    ],
)
def test_status_words_have_one_colour_at_their_places(text: str, shown: str) -> None:
    assert terminal_colours.highlight(text) == shown
    assert terminal_colours.plain(shown) == text


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
def test_rich_shows_the_same(look: terminal_colours.Look) -> None:
    from rich.style import Style

    assert Style.parse(look.rich).render("x") == look.paint("x")
