"""Carry a job out in a process of its own, which ends whatever way its worker ends.

So one job can be stopped without the others of its worker, even one that computes in Python,
and no crash of a library takes the worker along. Started as a program it reads the job from a
file and writes what happens, pickled, one message a line, to standard output.
"""

from __future__ import annotations

import base64
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from orchestrator.base.errors import OrchestrateError, StepError, problem_of
from orchestrator.base.process import run_process
from orchestrator.base.step_values import StepResult
from orchestrator.engine.cluster.sharing_job import carry_out_sharing
from orchestrator.engine.step_worker import Event, Job, Say, carry_out

_LEAST_SECONDS = 1.0  # between two reports of progress of a step


@dataclass
class _Said:
    """What came from the process so far."""

    say: Say
    rest: str = ""
    ended: Any = None

    def read(self, text: str) -> None:
        """Take output, lines cut anywhere."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            message = pickle.loads(base64.b64decode(line))  # noqa: S301 - of our own process
            if isinstance(message, Event):
                self.say(message)
            else:
                self.ended = message


def carry_out_apart(
    job: Job,
    say: Say,
    on_start: Callable[[Callable[[], None]], None],
    folder: Path | None = None,
) -> StepResult:
    """As ``carry_out``, in another process.

    Args:
        job: The job.
        say: Hears what happens, progress once a second.
        on_start: Gets what stops the process and all its tools.
        folder: Where its own temporary folder is made; None for the system's place.

    Raises:
        OrchestrateError: As ``carry_out``.
        Interrupted: It was stopped.
    """
    with tempfile.TemporaryDirectory(prefix="job-", dir=folder) as name:
        place, said = Path(name), _Said(say)
        (place / "job").write_bytes(pickle.dumps(job))
        done = run_process.run(
            [sys.executable, "-m", "orchestrator.engine.cluster.job_process", str(place)],
            cwd=place,
            log=place / "output",
            env=dict(os.environ),  # this program, trusted as this process is
            on_text=said.read,
            on_start=on_start,
            check=False,
            what=job.step.label,
        )
        if isinstance(said.ended, StepResult):
            return said.ended
        if isinstance(said.ended, Exception):
            raise said.ended
        end = (place / "errors").read_text("utf-8", "replace") if done.returncode > 0 else ""
    raise StepError(
        f"the process of {job.step.label} ended without a result (exit code {done.returncode})\n"
        f"{end[-2000:]}".rstrip()
    )


# -- the other process -----------------------------------------------------------------------


class _Messages:
    """Writes messages; called from the threads of a step."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._lock, self._last = out, threading.Lock(), -_LEAST_SECONDS

    def write(self, message: object) -> None:
        """Write one message as a line."""
        line = base64.b64encode(pickle.dumps(message)).decode("ascii")
        with self._lock:
            self._out.write(f"{line}\n")
            self._out.flush()

    def say(self, event: Event) -> None:
        """Write an event, unless it is progress right after other progress."""
        now = time.monotonic()
        if event.what == "progressed":
            if now - self._last < _LEAST_SECONDS:
                return
            self._last = now
        self.write(event)


def _own_output(place: Path) -> TextIO:
    """Standard output for messages only; all else that is printed goes to a file."""
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    with (place / "errors").open("wb") as errors:
        os.dup2(errors.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    return out


def main(place: Path) -> None:
    """Carry out the job in a folder."""
    messages = _Messages(_own_output(place))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: run_process.stop_all())
    job = pickle.loads((place / "job").read_bytes())  # noqa: S301 - the worker's
    try:
        work = carry_out_sharing if job.settings.remote.places else carry_out
        messages.write(work(job, messages.say))
    except OrchestrateError as error:
        messages.write(error)
    except OSError as error:
        messages.write(problem_of(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
