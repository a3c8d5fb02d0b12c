"""The only place that starts a process.

Every native tool runs without a shell and without input, its output goes to a log as it
comes, its failure is one typed error, and its whole process tree ends with this process.
"""

from __future__ import annotations

import codecs
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import machine_info, units
from orchestrator.base.disk_space import (
    DiskFull,
    disk_full,
    is_short,
    says_full,
    translated,
)
from orchestrator.base.errors import Interrupted, OrchestrateError, StepError
from orchestrator.base.process import environment_variables, isolation, warm_python
from orchestrator.base.process.environment_variables import clean_env
from orchestrator.base.process.process_tree import Ended, Tree
from orchestrator.base.process.warm_python import Fork, Warm

__all__ = [
    "Completed",
    "DiskFull",
    "Reader",
    "ToolError",
    "check_stopped",
    "clean_env",
    "resume",
    "run",
    "stop_all",
]

KEPT_BYTES = 8 << 20
TAIL_CHARACTERS = 64 << 10
TAIL_LINES = 40
TAIL_LINE_CHARACTERS = 1000
GRACE_SECONDS = 5.0

Reader = Callable[[str], None]


@dataclass(frozen=True)
class Completed:
    """How a process went.

    Attributes:
        argv: The program and its arguments.
        returncode: Its exit code; the negative number of the signal that killed it.
        seconds: Wall time.
        peak_memory: Largest resident set of any process of the tree, in bytes; 0 if unknown.
        stdout: Its standard output; of more than 8 MiB only the end.
        tail: The last lines of both outputs together.
        text: Both outputs as they came; of more than 8 MiB only the end.
    """

    argv: tuple[str, ...]
    returncode: int
    seconds: float
    peak_memory: int
    stdout: str
    tail: str
    text: str


class ToolError(StepError):
    """A tool failed, could not be started or ran out of time."""

    def __init__(
        self, message: str, hint: str = "", tail: str = "", log: Path | None = None
    ) -> None:
        super().__init__(message, hint)
        self.tail = tail
        self.log = log


class _Running:
    """The trees that run now, and whether new ones may start."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # re-entrant: signal handlers call stop()
        self._trees: set[Tree | Fork] = set()
        self.stopping = False

    def check(self) -> None:
        if self.stopping:
            raise Interrupted("interrupted", "run the same command again: it goes on from there")

    def add(self, tree: Tree | Fork) -> None:
        with self._lock:
            self._trees.add(tree)
            if self.stopping:
                tree.stop()

    def discard(self, tree: Tree | Fork) -> None:
        with self._lock:
            self._trees.discard(tree)

    def stop(self) -> None:
        with self._lock:
            self.stopping = True
            for tree in list(self._trees):
                tree.stop()


_running = _Running()


def stop_all() -> None:
    """Interrupt every running tree and make later :func:`run` calls raise Interrupted.

    For signal handlers: it does not wait. Each tree gets SIGINT now, SIGTERM 5 s later and
    SIGKILL after another 5 s; every further call brings the next of them at once.
    """
    _running.stop()


def resume() -> None:
    """Allow processes again after :func:`stop_all`, in a program that goes on."""
    _running.stopping = False


def check_stopped() -> None:
    """Raise Interrupted if :func:`stop_all` was called; for loops that wait or compute."""
    _running.check()


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    on_text: Reader | None = None,
    needed_bytes: int = 0,
    check: bool = True,
    what: str = "",
    visible: isolation.Visible | None = None,
    warm: Warm | None = None,
    on_start: Callable[[Callable[[], None]], None] | None = None,
) -> Completed:
    """Run a program to its end.

    Args:
        argv: Program and arguments; no shell sees them.
        cwd: Its working folder.
        log: Receives the command, all output and the outcome; appended to.
        env: Its whole environment; ``clean_env()`` when not given.
        timeout: Seconds after which the tree is stopped and ToolError is raised.
        on_text: Gets decoded output as it comes, lines cut anywhere. If it raises, that is
            noted in the log and it is not called again.
        needed_bytes: What the program writes in all, as far as known; for the error of a
            full disk.
        check: Whether an exit code other than 0 is an error.
        what: What a person calls this program; its file name when not given.
        visible: All that it sees of the user's files, without a network, where the system
            can do that; everything when not given.
        warm: Of a Python: what a process imports once, of which it may be a fork.
        on_start: Gets what stops this tree alone, as :func:`stop_all` stops all of them.

    Raises:
        ToolError: It could not be started, timed out, or (with ``check``) failed.
        DiskFull: The same, and the disk was full.
        Interrupted: :func:`stop_all` was called.
    """
    check_stopped()
    words = tuple(os.fspath(word) for word in argv)
    job = _Job(
        words,
        cwd,
        log,
        what or Path(words[0]).name,
        needed_bytes,
        machine_info.disk_free(cwd),
        on_start,
    )
    environment = dict(clean_env() if env is None else env)
    with translated(log, job.label), _Output(log, on_text) as output:
        output.note(environment_variables.describe(words, cwd, environment))
        if visible is not None and isolation.isolates(words[0], environment.get("PATH", "")):
            output.note("# without network and home folder\n")
        fork = _fork(job, warm, environment, visible) if warm is not None else None
        tree = fork or _tree(job, visible, environment, output)
        done, late = _follow(job, tree, timeout, output)
        if fork is not None and not fork.begun:
            tree = _tree(job, visible, environment, output)
            done, late = _follow(job, tree, timeout, output)
        output.note(
            f"\n# exit code {done.returncode}, {done.seconds:.2f} s, "
            f"peak memory {units.size(done.peak_memory)}\n"
        )
    check_stopped()
    if late:
        message = f"{job.label} was stopped: it had not ended after {timeout:g} s"
        raise ToolError(message, f"its output is in {log}", done.tail, log)
    if check and done.returncode != 0:
        raise _failure(done, job)
    return done


@dataclass(frozen=True)
class _Job:
    """What is run, for the messages about it, and who is told of it; sizes in bytes."""

    argv: tuple[str, ...]
    cwd: Path
    log: Path
    label: str
    needed: int
    free_before: int
    on_start: Callable[[Callable[[], None]], None] | None = None


def _tree(
    job: _Job, visible: isolation.Visible | None, env: dict[str, str], output: _Output
) -> Tree:
    argv: Sequence[str] = job.argv
    if visible is not None:
        argv = isolation.around(argv, visible, job.cwd, env.get("PATH", ""))
    try:
        return Tree(argv, job.cwd, env, GRACE_SECONDS)
    except OSError as error:
        raise _cannot_start(job, error, output) from error


def _fork(
    job: _Job, warm: Warm, env: dict[str, str], visible: isolation.Visible | None
) -> Fork | None:
    return warm_python.fork(
        warm,
        job.argv,
        cwd=job.cwd,
        env=env,
        visible=visible,
        grace=GRACE_SECONDS,
        check=check_stopped,
    )


def _follow(
    job: _Job, tree: Tree | Fork, timeout: float | None, output: _Output
) -> tuple[Completed, bool]:
    """Follow the tree to its end; say also whether it ran out of time."""
    begin = time.monotonic()
    _running.add(tree)
    if job.on_start is not None:
        job.on_start(tree.stop)
    try:
        late = _pump(tree, output, None if timeout is None else begin + timeout)
    finally:
        _running.discard(tree)
        ended = tree.close()
    if ended.error:
        raise _cannot_start(job, OSError(ended.error, os.strerror(ended.error)), output)
    return _completed(job.argv, ended, time.monotonic() - begin, output), late


def _completed(argv: tuple[str, ...], ended: Ended, seconds: float, output: _Output) -> Completed:
    text = output.both.text()
    tail = _last_lines(text[-TAIL_CHARACTERS:])
    stdout = output.stdout.text()
    return Completed(argv, ended.returncode, seconds, ended.peak_memory, stdout, tail, text)


def _cannot_start(job: _Job, error: OSError, output: _Output) -> ToolError:
    message = f"{job.label} cannot be started: {job.argv[0]}: {error.strerror}"
    output.note(f"# {message}\n")
    hint = "check that it is installed and that it is built for this machine"
    return ToolError(message, hint, log=job.log)


def _pump(tree: Tree | Fork, output: _Output, deadline: float | None) -> bool:
    late = False
    while True:
        left = None if late or deadline is None else max(0.0, deadline - time.monotonic())
        chunks = tree.read(left)
        if chunks is None:
            return late
        for name, data in chunks:
            output.feed(name, data)
        if not chunks and not late and deadline is not None and time.monotonic() >= deadline:
            late = True
            tree.stop()


class _Bounded:
    """The end of a stream of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def add(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        while self._size - len(self._chunks[0]) >= self._limit:
            self._size -= len(self._chunks.popleft())

    def text(self) -> str:
        return b"".join(self._chunks)[-self._limit :].decode("utf-8", "replace")


class _Output:
    """Where output goes: the log, the listener, and memory for the result."""

    def __init__(self, log: Path, on_text: Reader | None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._file = log.open("ab", buffering=0)
        self._listener = on_text
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder("replace") for name in ("stdout", "stderr")}
        self.stdout = _Bounded(KEPT_BYTES)
        self.both = _Bounded(KEPT_BYTES)

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def note(self, text: str) -> None:
        """Write words of our own to the log."""
        self._write(text.encode("utf-8", "replace"))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def feed(self, name: str, data: bytes) -> None:
        """Take what a stream brought."""
        if not data:
            return
        self._write(data)
        self.both.add(data)
        if name == "stdout":
            self.stdout.add(data)
        text = self._decoders[name].decode(data)
        if self._listener is not None and text:
            self._notify(self._listener, text)

    def _notify(self, listener: Reader, text: str) -> None:
        try:
            listener(text)
        except Exception:
            self._listener = None
            self.note(f"\n# the listener of this output failed:\n{traceback.format_exc()}")


def _last_lines(text: str) -> str:
    """Return the last lines, and of each line what a terminal would show at its end."""
    lines = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    kept = [line[-TAIL_LINE_CHARACTERS:] for line in lines if line.strip()]
    return "\n".join(kept[-TAIL_LINES:])


HINTS = {
    "SIGILL": "the build uses instructions that this processor or virtual machine forbids; "
    "rebuild the tool chain with the default build profile",
    "SIGKILL": "the system has probably run out of memory: close other programs, "
    "or take a smaller model",
}


def _failure(done: Completed, job: _Job) -> OrchestrateError:
    cause = _signal_name(done.returncode)
    written = max(0, job.free_before - machine_info.disk_free(job.cwd))
    short = is_short(job.cwd, job.needed - written)
    if short or cause == "SIGXFSZ" or says_full(done.tail):
        return disk_full(job.cwd, job.needed, job.label, done.tail, job.log)
    if done.returncode < 0:
        how = f"it was killed by {cause}"
    elif cause in HINTS:  # shells and make report so what became of their own children
        how = f"exit code {done.returncode}, which stands for {cause}"
    else:
        how = f"exit code {done.returncode}"
    hint = HINTS.get(cause, f"its output is in {job.log}")
    if "Killed signal terminated program" in done.tail:  # gcc's words when its cc1plus is killed
        hint = HINTS["SIGKILL"]
    return ToolError(f"{job.label} failed: {how}", hint, done.tail, job.log)


def _signal_name(returncode: int) -> str:
    number = -returncode if returncode < 0 else returncode - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}" if returncode < 0 else ""
