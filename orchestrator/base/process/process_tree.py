"""One running process tree: starts it, streams its output, stops it, tells how it ended.

Used by run_process.py only. On POSIX systems the tool runs under guard_program.py, so that it dies
with this process whatever happens; on Windows it is a plain child in a process group of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

READ_BYTES = 1 << 16
# What a pipe can still hold when its tree has ended: Linux's pipe-max-size, see pipe(7).
DRAIN_BYTES = 1 << 20

Chunk = tuple[str, bytes]  # "stdout" or "stderr", and what came


@dataclass(frozen=True)
class Ended:
    """How a tree ended: ``error`` is the errno if its program could not be started at all."""

    returncode: int
    peak_memory: int = 0
    error: int = 0


if sys.platform == "win32":  # pragma: no cover - not run on POSIX
    import queue
    import signal

    class Tree:
        """A plain process: no guard and no peak memory here."""

        def __init__(
            self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], grace: float
        ) -> None:
            self._grace = grace
            self._queue: queue.Queue[Chunk] = queue.Queue()
            self._process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
            )
            for name in ("stdout", "stderr"):
                threading.Thread(target=self._pump, args=(name,), daemon=True).start()

        def _pump(self, name: str) -> None:
            handle = getattr(self._process, name).fileno()
            while data := os.read(handle, READ_BYTES):
                self._queue.put((name, data))

        def read(self, timeout: float | None) -> list[Chunk] | None:
            """Return output, [] after ``timeout`` seconds without any, None at the end."""
            ended = self._process.poll() is not None
            wait = 0.2 if ended or timeout is None else min(timeout, 0.2)
            try:
                return [self._queue.get(timeout=wait)]
            except queue.Empty:
                return None if ended else []

        def stop(self) -> None:
            """Interrupt the group; kill the tree when that does not help."""
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
            killer = threading.Timer(self._grace, self._kill)
            killer.daemon = True
            killer.start()

        def _kill(self) -> None:
            if self._process.poll() is None:
                command = ["taskkill", "/T", "/F", "/PID", str(self._process.pid)]
                subprocess.run(command, capture_output=True, check=False)

        def close(self) -> Ended:
            """Kill what still runs and tell how it ended."""
            self._kill()
            return Ended(self._process.wait())

else:
    import selectors
    import signal

    GUARD = str(Path(__file__).with_name("guard_program.py"))

    class Guarded:
        """The pipes between this process and what watches a tool: its guard, or a warm Python.

        ``start`` is called with the ends of the control and the report pipe that are the other
        side's, and returns the reading ends of the tool's outputs.
        """

        def __init__(self, start: Callable[[int, int], tuple[int, int]]) -> None:
            self._lock = threading.RLock()  # a signal handler may come while it is held
            self._said = b""
            self._ended = False
            control, self._control = os.pipe()
            self._report, report = os.pipe()
            try:
                outputs = start(control, report)
            except BaseException:
                os.close(self._control)
                os.close(self._report)
                raise
            finally:
                os.close(control)
                os.close(report)
            self._selector = selectors.DefaultSelector()
            for name, handle in zip(("stdout", "stderr"), outputs, strict=True):
                self._selector.register(handle, selectors.EVENT_READ, name)
            self._selector.register(self._report, selectors.EVENT_READ, "report")

        def read(self, timeout: float | None) -> list[Chunk] | None:
            """Return output, [] after ``timeout`` seconds without any, None at the end."""
            if self._ended:
                return None
            chunks: list[Chunk] = []
            for ready, _ in self._selector.select(timeout):
                data = os.read(ready.fd, READ_BYTES)
                if ready.data != "report":
                    chunks.append((ready.data, data))
                    if not data:
                        self._selector.unregister(ready.fd)
                elif data:
                    self._said += data
                else:
                    self._ended = True
            return chunks + self._drain() if self._ended else chunks

        def _drain(self) -> list[Chunk]:
            # Not until end of file: something that fled from the tree may hold the pipe open.
            chunks: list[Chunk] = []
            for left in list(self._selector.get_map().values()):
                os.set_blocking(left.fd, False)
                count = 0
                while left.data != "report" and count < DRAIN_BYTES:
                    try:
                        data = os.read(left.fd, READ_BYTES)
                    except BlockingIOError:
                        break
                    if not data:
                        break
                    count += len(data)
                    chunks.append((left.data, data))
            return chunks

        def stop(self) -> None:
            """Interrupt the tree; a second call terminates it, a third kills it."""
            with self._lock:
                if self._control < 0:
                    return
                try:
                    os.write(self._control, b"s")
                except BrokenPipeError:
                    return  # the guard has ended, and the tree with it

        def end(self) -> dict[str, int]:
            """Let the other side kill what still runs; returns what it said of the tool."""
            with self._lock:
                control, self._control = self._control, -1
            os.close(control)
            while self.read(None) is not None:
                continue
            self._selector.close()
            os.close(self._report)
            said: dict[str, int] = {}
            for line in self._said.splitlines():
                said.update(json.loads(line))
            return said

    class Tree(Guarded):
        """A tool under its guard; ``handles`` are open in it under the same numbers."""

        def __init__(
            self,
            argv: Sequence[str],
            cwd: Path,
            env: Mapping[str, str],
            grace: float,
            handles: Sequence[int] = (),
        ) -> None:
            locale = f"={env['LC_CTYPE']}" if "LC_CTYPE" in env else ""

            def start(control: int, report: int) -> tuple[int, int]:
                pipes = (str(control), str(report))
                guard = [sys.executable, "-I", "-S", GUARD, *pipes, str(grace), locale]
                self._guard = subprocess.Popen(
                    [*guard, *argv],
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(control, report, *handles),
                    start_new_session=True,
                )
                assert self._guard.stdout is not None
                assert self._guard.stderr is not None
                return self._guard.stdout.fileno(), self._guard.stderr.fileno()

            super().__init__(start)

        def close(self) -> Ended:
            """Kill what still runs and tell how it ended."""
            said = self.end()
            code = self._guard.wait()
            for stream in (self._guard.stdout, self._guard.stderr):
                assert stream is not None
                stream.close()
            if "errno" in said:
                return Ended(127, error=said["errno"])
            if "status" in said:
                return Ended(os.waitstatus_to_exitcode(said["status"]), said["peak"])
            if "pid" in said:
                self._kill_orphans(said["pid"])
            return Ended(code or -signal.SIGKILL)

        def _kill_orphans(self, group: int) -> None:
            """Kill a group whose guard was killed; the tool itself died with the guard."""
            try:
                os.killpg(group, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return  # all have ended
