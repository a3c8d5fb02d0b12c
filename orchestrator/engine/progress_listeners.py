"""What a person sees of a run: progress bars on a terminal, plain lines elsewhere.

Both are listeners of the runner. Nothing here decides anything.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from orchestrator.base import safe_text, terminal_colours, units
from orchestrator.base.errors import ExplainedFailure, UsageError
from orchestrator.base.step_values import Activity, Ended, Outcome, Progress, StepResult
from orchestrator.engine.pace import Pace

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.engine.step_worker import Listener

MARKS = {Outcome.DONE: "✓", Outcome.HIT: "·", Outcome.SKIPPED: "-", Outcome.FAILED: "✗"}
LOOKS = {
    Outcome.DONE: terminal_colours.OK,
    Outcome.HIT: terminal_colours.QUIET,
    Outcome.SKIPPED: terminal_colours.WARNING,
    Outcome.FAILED: terminal_colours.FAILURE,
}
# Told with -v only; why steps were skipped is told once, with what failed.
QUIET = frozenset({Outcome.HIT, Outcome.SKIPPED})
TAIL_LINES = 15
PLAIN_SECONDS = 30.0
_NARROW = 70  # columns of a terminal that has no room for bars beside words


def line(result: Ended) -> str:
    """One step's outcome as a line of text."""
    took = f"  {units.duration(result.seconds)}" if result.outcome is Outcome.DONE else ""
    why = {Outcome.HIT: "  up to date", Outcome.SKIPPED: f"  not run: {result.error}"}
    return f"{MARKS[result.outcome]} {result.step.label}{took}{why.get(result.outcome, '')}"


class Plain:
    """Lines without control characters, for logs and pipes; quiet about hits."""

    def __init__(self, out: TextIO, verbose: bool = False, pace: Pace | None = None) -> None:
        self._out, self._verbose, self._pace = out, verbose, pace or Pace()
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def _say(self, text: str) -> None:
        with self._lock:
            print(safe_text.terminal(text), file=self._out, flush=True)

    def planned(self, steps: Sequence[Activity]) -> None:
        """Say how much there is to do."""
        self._pace.begin(steps)
        if self._pace.total:
            took = self._pace.remaining()
            self._say(f"… {units.plural(len(steps), 'step')} to do{took and ', ' + took}")

    def started(self, step: Activity) -> None:
        """Announce a step."""
        self._last[step.key] = time.monotonic()
        self._say(f"… {step.label}")

    def progressed(self, step: Activity, progress: Progress) -> None:
        """Say something now and then, so that a log shows life."""
        now = time.monotonic()
        if now - self._last.get(step.key, now) >= PLAIN_SECONDS:
            self._last[step.key] = now
            self._say(f"… {step.label}: {shown(progress)}")

    def waiting(self, step: Activity, holder: str) -> None:
        """Say whose work is awaited."""
        self._say(f"… {step.label}: waits for {holder}")

    def finished(self, result: Ended) -> None:
        """Say how a step ended, and which of all it was."""
        place = self._pace.end(result)
        if self._verbose or result.outcome not in QUIET:
            self._say(line(result) + (f"  ({place})" if place else ""))

    def close(self) -> None:
        """Nothing to put away."""


class Bars:
    """Rich progress bars on standard error."""

    def __init__(self, console: Console, verbose: bool = False, pace: Pace | None = None) -> None:
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.progress import Progress as RichProgress  # noqa: PLC0415
        from rich.table import Column  # noqa: PLC0415

        self._console, self._verbose, self._pace = console, verbose, pace or Pace()
        # The time is the last thing to go: words give way to it, and bars to words.
        words = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        notes = Column(no_wrap=True, justify="right")
        self._bars = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=words),
            *([BarColumn(bar_width=24)] if console.width >= _NARROW else []),
            TextColumn("{task.fields[note]}", markup=False, table_column=notes),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            console=console,
            transient=True,
            expand=True,
        )
        self._bars.start()
        self._ids: dict[str, Any] = {}
        self._whole: Any = None

    def planned(self, steps: Sequence[Activity]) -> None:
        """Show a bar of the whole."""
        self._pace.begin(steps)
        if self._whole is not None:
            self._bars.remove_task(self._whole)
            self._whole = None
        if self._pace.total:
            self._whole = self._bars.add_task("", note="")
            self._show_pace()

    def _show_pace(self) -> None:
        left = self._pace.remaining()
        self._bars.update(
            self._whole,
            description=f"{self._pace.ended} of {self._pace.total}",
            completed=self._pace.ended,
            total=self._pace.total,
            note=f"{left} left" if left else "",
        )

    def started(self, step: Activity) -> None:
        """Show a bar."""
        label = safe_text.line(step.label)
        self._ids[step.key] = self._bars.add_task(label, total=None, note="")

    def progressed(self, step: Activity, progress: Progress) -> None:
        """Move the bar."""
        if step.key in self._ids:
            self._bars.update(
                self._ids[step.key],
                completed=progress.done,
                total=progress.total or None,
                note=safe_text.line(shown(progress)),
            )

    def waiting(self, step: Activity, holder: str) -> None:
        """Say whose work is awaited."""
        self._console.print(
            f"… {safe_text.line(step.label)}: waits for {safe_text.line(holder)}",
            style=terminal_colours.WARNING.rich,
            markup=False,
        )

    def finished(self, result: Ended) -> None:
        """Take the bar away and leave a line."""
        if result.step.key in self._ids:
            self._bars.remove_task(self._ids.pop(result.step.key))
        if self._pace.end(result):
            self._show_pace()
        if self._verbose or result.outcome not in QUIET:
            look = LOOKS[result.outcome].rich
            text = safe_text.terminal(line(result))
            self._console.print(text, style=look, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()


class JsonLog:
    """One JSON object a line, for machines; passes everything on to another listener."""

    def __init__(self, path: Path, then: Plain | Bars) -> None:
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"events cannot be written to {path}: {error.strerror}",
                "Give --log-json a file in a folder of yours.",
            ) from error
        self._lock = threading.Lock()
        self._then = then

    def _write(self, event: str, step: Activity, **more: Any) -> None:
        record = {"time": time.time(), "event": event, "kind": step.kind, "key": step.key}
        text = safe_text.without_credentials(json.dumps({**record, "label": step.label, **more}))
        with self._lock:
            print(text, file=self._file, flush=True)

    def planned(self, steps: Sequence[Activity]) -> None:
        """Pass on; events tell of each step."""
        self._then.planned(steps)

    def started(self, step: Activity) -> None:
        """Log and pass on."""
        self._write("started", step)
        self._then.started(step)

    def progressed(self, step: Activity, progress: Progress) -> None:
        """Pass on; progress is for people."""
        self._then.progressed(step, progress)

    def waiting(self, step: Activity, holder: str) -> None:
        """Log and pass on."""
        self._write("waiting", step, holder=holder)
        self._then.waiting(step, holder)

    def finished(self, result: Ended) -> None:
        """Log and pass on."""
        self._write(
            "finished",
            result.step,
            outcome=result.outcome.value,
            seconds=round(result.seconds, 3),
            peak_memory=result.peak_memory,
            error=result.error,
        )
        self._then.finished(result)

    def close(self) -> None:
        """Close the file and the other listener."""
        self._file.close()
        self._then.close()


Watcher = Plain | Bars | JsonLog


@contextmanager
def watched(
    listener: Listener, activity: Activity, total: int = 0
) -> Iterator[Callable[[Progress], None]]:
    """Show something that is no step while it goes on; gives what to call with its progress.

    Args:
        listener: Who is shown it.
        activity: What it is.
        total: How many bytes there are to do, if that is known.
    """
    begun = time.monotonic()
    listener.started(activity)
    listener.progressed(activity, Progress(0, total, "B"))
    try:
        yield lambda progress: listener.progressed(activity, progress)
    except BaseException:
        listener.finished(Ended(activity, Outcome.FAILED, time.monotonic() - begun))
        raise
    listener.finished(Ended(activity, Outcome.DONE, time.monotonic() - begun))


def shown(progress: Progress) -> str:
    """Progress as text: ``12/180 tensors``, ``3.2 GB of 13 GB``, ``45%``, ``speed``."""
    counted = _counted(progress) if progress.done or progress.total else ""
    return " ".join(part for part in (progress.note, counted) if part)


def _counted(progress: Progress) -> str:
    if progress.unit == "B":
        total = f" of {units.size(progress.total)}" if progress.total else ""
        return f"{units.size(progress.done)}{total}"
    if progress.unit == "%":
        return f"{progress.done:.0f}%"
    total = f"/{progress.total:.0f}" if progress.total else ""
    return f"{progress.done:.0f}{total} {progress.unit}".strip()


def log_tail(path: Path) -> list[str]:
    """The last lines of a step's log, for the report of its failure."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 16384))
        text = file.read().decode("utf-8", errors="replace")
    return text.splitlines()[-TAIL_LINES:]


def failures(results: Sequence[StepResult]) -> list[str]:
    """What failed and why, each with the end of its log."""
    skipped = [result for result in results if result.outcome is Outcome.SKIPPED]
    return [
        _failure(result, sum(f"'{result.step.label}'" in one.error for one in skipped))
        for result in results
        if result.outcome is Outcome.FAILED
    ]


def _failure(result: StepResult, waiting: int) -> str:
    """One failure; ``waiting`` steps were not run because of it."""
    label = result.step.label
    text = result.error if result.error.startswith(label) else f"{label} failed: {result.error}"
    explained = isinstance(result.cause, ExplainedFailure)
    tail = log_tail(result.log) if result.log and not explained else []
    if explained and result.log:
        text += f"\n  all of its log: {result.log}"
    if tail:
        text = text.replace(f"\n  its output is in {result.log}", "")
        text += "\n  the end of its log:\n" + "\n".join(f"    {one}" for one in tail)
        text += f"\n  all of it: {result.log}"
    if waiting:
        text += f"\n  {units.plural(waiting, 'step')} that need it: not run"
    return text
