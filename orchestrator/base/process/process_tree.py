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
from collections.abc import Mapping, Sequence
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

    class Tree:
        """A tool under its guard, with the pipes between the guard and this process."""

        def __init__(
            self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], grace: float
        ) -> None:
            self._lock = threading.RLock()  # a signal handler may come while it is held
            self._said = b""
            self._ended = False
            control, self._control = os.pipe()
            self._report, report = os.pipe()
            try:
                self._guard = self._start(argv, cwd, env, (control, report), grace)
            except BaseException:
                os.close(self._control)
                os.close(self._report)
                raise
            finally:
                os.close(control)
                os.close(report)
            self._selector = self._watch()

        def _start(
            self,
            argv: Sequence[str],
            cwd: Path,
            env: Mapping[str, str],
            handles: tuple[int, int],
            grace: float,
        ) -> subprocess.Popen[bytes]:
            locale = f"={env['LC_CTYPE']}" if "LC_CTYPE" in env else ""
            guard = [sys.executable, "-I", "-S", GUARD, *map(str, handles), str(grace), locale]
            return subprocess.Popen(
                [*guard, *argv],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=handles,
                start_new_session=True,
            )

        def _watch(self) -> selectors.BaseSelector:
            selector = selectors.DefaultSelector()
            assert self._guard.stdout is not None
            assert self._guard.stderr is not None
            selector.register(self._guard.stdout.fileno(), selectors.EVENT_READ, "stdout")
            selector.register(self._guard.stderr.fileno(), selectors.EVENT_READ, "stderr")
            selector.register(self._report, selectors.EVENT_READ, "report")
            return selector

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

        def close(self) -> Ended:
            """Kill what still runs and tell how it ended."""
            with self._lock:
                control, self._control = self._control, -1
            os.close(control)
            returncode = self._guard.wait()
            self._selector.close()
            for stream in (self._guard.stdout, self._guard.stderr):
                assert stream is not None
                stream.close()
            os.close(self._report)
            return self._outcome(returncode)

        def _outcome(self, guard_code: int) -> Ended:
            said: dict[str, int] = {}
            for line in self._said.splitlines():
                said.update(json.loads(line))
            if "errno" in said:
                return Ended(127, error=said["errno"])
            if "status" in said:
                return Ended(os.waitstatus_to_exitcode(said["status"]), said["peak"])
            if "pid" in said:
                self._kill_orphans(said["pid"])
            return Ended(guard_code or -signal.SIGKILL)

        def _kill_orphans(self, group: int) -> None:
            """Kill a group whose guard was killed; the tool itself died with the guard."""
            try:
                os.killpg(group, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return  # all have ended
