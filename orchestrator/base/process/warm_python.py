"""Pythons that stay after their imports, and do each of a tool's calls in a fork of theirs.

Starting PyTorch takes seconds, and a fork of a process that has done it milliseconds. Used by
run_process.py only. The fork sees of the machine what the tool would see that starts anew (see
isolation.py), and ends as one with its guard does. A warm Python itself sees the folders that it is
given, without a network. It ends with this process, when nobody asks it for a while, and at
:func:`end_all`. Where there is none, the tool starts anew: on other systems than Linux, where
forks of such processes are not safe, and where the imports fail.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base.process import isolation
from orchestrator.base.process.process_tree import Ended, Tree

if TYPE_CHECKING or sys.platform != "win32":
    from orchestrator.base.process.process_tree import Guarded
else:
    Guarded = object

PROGRAM = Path(__file__).with_name("warm_program.py")
START_SECONDS, SLICE_SECONDS = 300.0, 0.25
# No library can make a folder of its own there, or find one.
HOME = os.path.join(os.devnull, "home")  # noqa: PTH118 - a text for the environment


@dataclass(frozen=True)
class Warm:
    """What a Python imports once: a script with its arguments, and what that may see.

    ``env`` are the variables that the imports read; ``place`` is the folder in which the calls
    have theirs, and ``read`` what they read.
    """

    script: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    read: tuple[Path, ...]
    place: Path


class Fork(Guarded):
    """One call in a fork, with the interface of a tree.

    ``begun`` is False after its end when its Python ended before it could do anything.
    """

    begun = False

    def __init__(self, channel: socket.socket, job: Mapping[str, object]) -> None:
        def start(control: int, report: int) -> tuple[int, int]:
            self._outputs, ours = zip(*(os.pipe() for _ in range(2)), strict=True)
            try:
                data = json.dumps(job).encode()
                socket.send_fds(channel, [data], [*ours, report, control])
            except OSError:
                self._close_outputs()
                raise
            finally:
                for handle in ours:
                    os.close(handle)
            return self._outputs[0], self._outputs[1]

        super().__init__(start)

    def _close_outputs(self) -> None:
        for handle in self._outputs:
            os.close(handle)

    def close(self) -> Ended:
        """Kill what still runs and tell how it ended."""
        said = self.end()
        self._close_outputs()
        self.begun = "begun" in said
        if "status" not in said:
            return Ended(-signal.SIGKILL)  # with the Python that it was a fork of
        return Ended(os.waitstatus_to_exitcode(said["status"]), said["peak"])


class _Python:
    """A warm Python and the socket that brings it its calls."""

    def __init__(self, python: str, warm: Warm, grace: float) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [python, str(PROGRAM), str(theirs.fileno()), *warm.script]
        view = isolation.Visible((*warm.read, PROGRAM.parent), (warm.place,))
        env = {**dict(warm.env), "HOME": HOME, "HF_HOME": HOME}
        argv = isolation.around(words, view, Path("/"), env.get("PATH", ""), root=True)
        try:
            self.tree = Tree(argv, Path("/"), env, grace, (theirs.fileno(),))
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()

    def ready(self, check: Callable[[], None]) -> bool:
        """Wait for the imports; False when they failed, or do not end."""
        end = time.monotonic() + START_SECONDS
        self.channel.settimeout(SLICE_SECONDS)
        while time.monotonic() < end:
            check()
            with suppress(TimeoutError):
                found = self.channel.recv(16)
                self.channel.settimeout(None)
                return bool(found)
        return False

    def end(self) -> None:
        self.channel.close()
        self.tree.close()


class _Pythons:
    """The warm Pythons of this process; the first call of each waits for the imports."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starting: dict[tuple[str, Warm], threading.Lock] = {}
        self._ready: dict[tuple[str, Warm], _Python | None] = {}

    def get(
        self, python: str, warm: Warm, grace: float, check: Callable[[], None]
    ) -> _Python | None:
        """The one for such calls; None where its imports failed."""
        key = (python, warm)
        with self._lock:
            starting = self._starting.setdefault(key, threading.Lock())
        with starting:
            if key not in self._ready:
                self._ready[key] = _started(python, warm, grace, check)
            return self._ready[key]

    def forget(self, python: str, warm: Warm, gone: _Python) -> None:
        """Start another one for the next call: this one has ended."""
        with self._lock:
            if self._ready.get((python, warm)) is gone:
                del self._ready[python, warm]
                gone.end()

    def end(self) -> None:
        with self._lock:
            found, self._ready = self._ready, {}
        for one in found.values():
            if one is not None:
                one.end()


def _started(python: str, warm: Warm, grace: float, check: Callable[[], None]) -> _Python | None:
    try:
        made = _Python(python, warm, grace)
    except OSError:
        return None
    good = False
    try:
        good = made.ready(check)
    finally:
        if not good:
            made.end()
    return made if good else None


_pythons = _Pythons()
atexit.register(_pythons.end)


def end_all() -> None:
    """End the warm Pythons of this process; the next call starts one again."""
    _pythons.end()


def fork(
    warm: Warm,
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    visible: isolation.Visible | None,
    grace: float,
    check: Callable[[], None],
) -> Fork | None:
    """Start a call in a fork of a warm Python; None where it has to start anew.

    Args:
        warm: What is imported once.
        argv: The Python, a script and its arguments.
        cwd: The working folder.
        env: The whole environment.
        visible: What it sees of the user's files.
        grace: Seconds between the signals that stop it.
        check: Called while the imports last, and may raise.
    """
    if sys.platform != "linux":
        return None
    isolated = visible is not None and not isolation.obstacle()
    shown = (*warm.read, warm.place)
    if isolated and isolation.hold_hidden(shown):
        return None
    # A fork can show nothing that its Python does not see.
    if visible is not None and isolated:
        wanted = (path for path in (*visible.read, *visible.write) if path.exists())
        if not isolation.all_seen(wanted, shown):
            return None
    job = {
        "argv": list(argv[1:]),
        "cwd": str(cwd),
        "env": dict(env),
        "grace": grace,
        "view": isolation.view(visible, argv[0]) if visible is not None and isolated else [],
        "user": os.getuid(),
        "group": os.getgid(),
    }
    for _ in range(2):
        found = _pythons.get(argv[0], warm, grace, check)
        if found is None:
            return None
        try:
            return Fork(found.channel, job)
        except OSError:
            _pythons.forget(argv[0], warm, found)  # it has had nothing to do, or was killed
    return None
