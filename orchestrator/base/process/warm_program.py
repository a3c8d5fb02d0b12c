"""A Python that has imported its libraries once, and does each job in a fork of itself.

Run as a script by warm_python.py, under a guard of its own, on Linux:

    python warm_program.py CHANNEL_FD SCRIPT [ARGUMENT...]

The script does the imports. Then CHANNEL, a socket of messages, brings one JSON object a job, with
the writing ends of its output, its error output and its report, and the reading end of its control
pipe. Those two are a guard's (guard_program.py), and so are the signals that control asks for. A
fork knows nothing of other jobs: it has its own folders, environment and, where the system allows
it, its own namespaces, which it enters before it reads anything that the job names. End of file
on CHANNEL, and ``IDLE_SECONDS`` without a job, end the program.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.base.process import view_program as view
else:
    import view_program as view

IDLE_SECONDS = 60.0
MESSAGE_BYTES = 1 << 20
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
# From linux/capability.h.
CAPABILITY_VERSION = 0x20080522


def isolate(words: Sequence[str], user: int, group: int) -> None:
    """Enter namespaces of this process's own, from which their mounts cannot be undone."""
    view.asked(view.libc.unshare(view.CLONE_NEWNS | view.CLONE_NEWNET))
    view.arrange(iter(words))
    view.separate(0, user, group)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    view.asked(view.libc.capset(header, (ctypes.c_uint32 * 6)()))


@contextmanager
def separate() -> Iterator[None]:
    """Let the child that is forked meanwhile be the first of a namespace of processes."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    view.asked(view.libc.unshare(view.CLONE_NEWPID))
    try:
        yield
    finally:
        view.asked(
            view.libc.setns(own, view.CLONE_NEWPID)
        )  # else there could be no other one, see setns(2)
        os.close(own)


def enter(job: dict, handles: Sequence[int]) -> None:  # type: ignore[type-arg]
    """Make a fresh process's surroundings of a fork's."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(handles[0], 1)
    os.dup2(handles[1], 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(job["env"])
    time.tzset()
    tempfile.tempdir = None
    if job["view"]:
        try:
            isolate(job["view"], job["user"], job["group"])
        except OSError as error:
            sys.exit(
                f"this tool could not be cut off from the network and the home folder: {error}"
            )
    view.libc.prctl(view.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.chdir(job["cwd"])


def work(job: dict, handles: Sequence[int]) -> int:  # type: ignore[type-arg]
    """Do a job in the fork; returns the exit code that Python would end with."""
    try:
        enter(job, handles)
        script = job["argv"][0]
        sys.argv = list(job["argv"])
        sys.path.insert(0, os.path.dirname(script))  # noqa: PTH120
        runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def forked(job: dict, handles: Sequence[int]) -> int:  # type: ignore[type-arg]
    """Start a job; the pid of its process."""
    with separate() if "processes" in job["view"] else nullcontext():
        pid = os.fork()
        if not pid:
            _end(job, handles)
    with suppress(OSError):  # the child does it too, and may have ended since
        os.setpgid(pid, pid)
    return pid


def _end(job: dict, handles: Sequence[int]) -> None:  # type: ignore[type-arg]
    """Do a job in the fork, and nothing after it."""
    code = 1
    try:
        code = work(job, handles)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


class Running:
    """A job that runs: its process, its pipes, and the signals that it was sent."""

    def __init__(self, pid: int, report: int, control: int, grace: float) -> None:
        self.pid, self.report, self.control, self.grace = pid, report, control, grace
        self.sent = 0
        self.due: float | None = None
        self.abandoned = False
        self._say(b'{"begun": 1}\n')

    def heard(self) -> None:
        """React to what control says: the next signal, or the end of it all."""
        if os.read(self.control, 1):
            self.stop()
        else:
            self.abandoned = True
            self.signal(signal.SIGKILL)

    def stop(self) -> None:
        """Send the next of the signals, and another one when that does not help in time."""
        if self.sent < len(STOP_SIGNALS):
            self.signal(STOP_SIGNALS[self.sent])
            self.sent += 1
            last = self.sent == len(STOP_SIGNALS)
            self.due = None if last else time.monotonic() + self.grace

    def signal(self, number: int) -> None:
        """Signal the job's process group."""
        with suppress(ProcessLookupError, PermissionError):  # it has ended
            os.killpg(self.pid, number)

    def ended(self, status: int, peak: int) -> None:
        """Report, and let go of the pipes."""
        self.signal(signal.SIGKILL)  # what it left behind, where it had no namespace
        self._say(b'{"status": %d, "peak": %d}\n' % (status, peak))
        os.close(self.report)
        os.close(self.control)

    def _say(self, text: bytes) -> None:
        with suppress(BrokenPipeError):
            os.write(self.report, text)


class Server:
    """The loop: jobs that come, go on and end."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.jobs: dict[int, Running] = {}
        self.wake, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Do jobs until nobody asks any more."""
        while True:
            heard = {one.control: one for one in self.jobs.values() if not one.abandoned}
            channel = self.channel.fileno()
            ready, _, _ = select.select([channel, self.wake, *heard], [], [], self._left())
            if not ready and not self.jobs:
                return
            for handle in ready:
                if handle in heard:
                    heard[handle].heard()
            if channel in ready and not self._accept():
                return
            if self.wake in ready:
                os.read(self.wake, 4096)
            self._reap()
            for one in self.jobs.values():
                if one.due is not None and time.monotonic() >= one.due:
                    one.stop()

    def _left(self) -> float:
        dues = [one.due - time.monotonic() for one in self.jobs.values() if one.due is not None]
        return max(0.0, min([IDLE_SECONDS, *dues]))

    def _accept(self) -> bool:
        """Take a job; False when nobody can send one any more."""
        data, handles, _, _ = socket.recv_fds(self.channel, MESSAGE_BYTES, 4)
        if not data:
            return False
        job = json.loads(data)
        output, errors, report, control = handles
        try:
            pid = forked(job, handles)
        except OSError:  # no memory
            os.close(report)
            os.close(control)
        else:
            self.jobs[pid] = Running(pid, report, control, job["grace"])
        os.close(output)
        os.close(errors)
        return True

    def _reap(self) -> None:
        while self.jobs:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            if pid in self.jobs:
                self.jobs.pop(pid).ended(status, usage.ru_maxrss * 1024)


def main(arguments: list[str]) -> None:
    """Import, say that it is done, and serve."""
    channel = socket.socket(fileno=int(arguments[0]))
    channel.set_inheritable(False)
    silence = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):  # forks have outputs of their own
        os.dup2(silence, number)
    sys.argv = arguments[1:]
    del sys.path[0]  # this program's own folder
    runpy.run_path(arguments[1])
    gc.collect()
    gc.freeze()  # what is there now is not written to by collections in the forks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the jobs are interrupted one by one
    server = Server(channel)
    channel.send(b"ready")
    server.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
