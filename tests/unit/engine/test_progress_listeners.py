"""What people and machines see of a run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.base.errors import ExplainedFailure, UsageError
from orchestrator.base.step_values import Activity, Outcome, Progress, StepResult
from orchestrator.engine import progress_listeners
from orchestrator.engine.progress_listeners import Bars, JsonLog, Plain
from tests.support.scheduler_runs import a_step

STEP = a_step("make it")


def result(outcome: Outcome, **rest: object) -> StepResult:
    return StepResult(STEP, outcome, seconds=83.4, **rest)  # type: ignore[arg-type]


OUTCOMES = [
    (result(Outcome.DONE), "✓ make it  1 min 23 s"),
    (result(Outcome.HIT), "· make it  up to date"),
    (result(Outcome.SKIPPED, error="interrupted"), "- make it  not run: interrupted"),
    (result(Outcome.FAILED, error="no"), "✗ make it"),
]


@pytest.mark.parametrize(("one", "line"), OUTCOMES)
def test_an_outcome_is_a_line(one: StepResult, line: str) -> None:
    assert progress_listeners.line(one) == line


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(12, 180, "tensors"), "12/180 tensors"),
        (Progress(12, 0, "chunks"), "12 chunks"),
        (Progress(3_200_000_000, 13_000_000_000, "B"), "3.20 GB of 13.0 GB"),
        (Progress(3_200_000_000, 0, "B"), "3.20 GB"),
        (Progress(45.4, 100, "%"), "45%"),
        (Progress(1, 2), "1/2"),
        (Progress(0, 0, note="speed"), "speed"),
        (Progress(2, 8, "chunks", note="divergence"), "divergence 2/8 chunks"),
        (Progress(0, 0), ""),
    ],
)
def test_progress_is_text(progress: Progress, text: str) -> None:
    assert progress_listeners.shown(progress) == text


def test_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    out, clock = io.StringIO(), [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    plain = Plain(out)
    plain.started(STEP)
    plain.progressed(STEP, Progress(1, 9, "files"))
    clock[0] = progress_listeners.PLAIN_SECONDS
    plain.progressed(STEP, Progress(5, 9, "files"))
    plain.progressed(STEP, Progress(6, 9, "files"))
    plain.waiting(STEP, "process 7")
    for one, _ in OUTCOMES:
        plain.finished(one)
    plain.close()

    assert out.getvalue().splitlines() == [
        "… make it",
        "… make it: 5/9 files",
        "… make it: waits for process 7",
        "✓ make it  1 min 23 s",
        "✗ make it",
    ]
    assert "\x1b" not in out.getvalue()


def test_verbose_shows_every_outcome() -> None:
    out = io.StringIO()
    plain = Plain(out, verbose=True)
    for one, _ in OUTCOMES:
        plain.finished(one)

    assert out.getvalue().splitlines() == [line for _, line in OUTCOMES]


def test_bars_leave_lines_and_no_markup() -> None:
    out = io.StringIO()
    step = a_step("fetch [bold]x[/bold]")
    bars = Bars(Console(file=out, force_terminal=True, width=100, color_system=None))
    bars.started(step)
    bars.progressed(step, Progress(1, 2, "[i]files"))
    bars.progressed(STEP, Progress(1, 2))
    bars.waiting(step, "[red]7")
    bars.finished(StepResult(step, Outcome.DONE, seconds=2))
    bars.finished(result(Outcome.HIT))
    bars.finished(result(Outcome.FAILED))
    bars.close()

    shown = out.getvalue()
    assert "✓ fetch [bold]x[/bold]  2.0 s" in shown
    assert "waits for [red]7" in shown
    assert "✗ make it" in shown
    assert "up to date" not in shown
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is visible again


def test_what_is_no_step_is_shown_as_steps_are(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("time.monotonic", lambda: 5.0)
    plain = Plain(out)
    sending = Activity("upload", "upload a.gguf", "a")

    with progress_listeners.watched(plain, sending, 100) as report:
        report(Progress(50, 100, "B"))
    with pytest.raises(ValueError, match="gone"), progress_listeners.watched(plain, sending):
        raise ValueError("gone")

    assert out.getvalue().splitlines() == [
        "… upload a.gguf",
        "✓ upload a.gguf  0.0 s",
        "… upload a.gguf",
        "✗ upload a.gguf",
    ]


def test_events_are_one_object_a_line(tmp_path: Path) -> None:
    path, out = tmp_path / "log.json", io.StringIO()
    for _ in range(2):  # it is appended to
        log = JsonLog(path, Plain(out))
        log.started(STEP)
        log.progressed(STEP, Progress(1, 2))
        log.waiting(STEP, "process 7")
        log.finished(result(Outcome.FAILED, error="no\nway", peak_memory=5))
        log.close()

    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["event"] for event in events] == ["started", "waiting", "finished"] * 2
    last = events[-1]
    assert (last["outcome"], last["seconds"], last["peak_memory"]) == ("failed", 83.4, 5)
    assert (last["kind"], last["key"], last["error"]) == (STEP.kind, STEP.key, "no\nway")
    assert out.getvalue().count("✗ make it") == 2


def test_events_need_a_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="events cannot be written to"):
        JsonLog(tmp_path / "no" / "log.json", Plain(io.StringIO()))


def test_a_failure_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 50_000 + b"\n" + b"".join(b"line %d\n" % n for n in range(40)) + b"\xff")
    failed = result(Outcome.FAILED, error="went wrong", log=log)

    [text] = progress_listeners.failures([failed, result(Outcome.DONE, log=log)])

    lines = text.splitlines()
    assert lines[0] == "make it failed: went wrong"
    assert lines[1] == "  the end of its log:"
    assert lines[-2:] == ["    \ufffd", f"  all of it: {log}"]
    assert lines[-3] == "    line 39"
    assert len(lines) == 3 + progress_listeners.TAIL_LINES


def test_a_failure_without_a_log_is_a_sentence(tmp_path: Path) -> None:
    failed = result(Outcome.FAILED, error="went wrong", log=tmp_path / "none")

    assert progress_listeners.failures([failed]) == ["make it failed: went wrong"]


def test_a_failure_that_is_explained_shows_no_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("Traceback\n")
    failed = result(
        Outcome.FAILED, error="it is an adapter", log=log, cause=ExplainedFailure("it is one")
    )

    [text] = progress_listeners.failures([failed])

    assert text == f"make it failed: it is an adapter\n  all of its log: {log}"
