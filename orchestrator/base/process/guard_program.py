"""The parent of every native tool: starts it, reports how it ended, and kills what it leaves.

Run as a script by process_tree.py, one per tool, in a session of its own:

    python -I -S guard_program.py CONTROL_FD REPORT_FD GRACE_SECONDS LC_CTYPE PROGRAM [ARGUMENT...]

CONTROL is a pipe whose writing end only the orchestrator holds. Each byte asks for the next
of SIGINT, SIGTERM, SIGKILL (and so does the passing of GRACE seconds); end of file means the
orchestrator is gone, even by kill -9, and everything is killed at once. REPORT receives one
JSON object a line: {"pid"}, then {"errno"} if the program cannot be started, or {"status",
"peak"}: the wait status and the largest resident set in bytes of any process of the tree.
LC_CTYPE is "=" and that variable's value for the tool, or "" when the tool must not have it:
Python changes it in its own environment when it starts in the C locale (PEP 538).

Only cheap modules are imported, since this start-up time is added to every tool's.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
# Python ignores the last two for itself; ignored signals would stay ignored in the tool.
RESTORED = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)
# ru_maxrss is in KiB on Linux and the BSDs, in bytes on macOS (getrusage(2) of each).
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
SWEEP_SECONDS = 5.0


def prctl(option: int, value: int) -> None:
    """Call Linux's prctl(2); elsewhere, or without ctypes, the process groups must do."""
    if sys.platform != "linux":
        return
    try:
        import ctypes  # noqa: PLC0415 - other systems do without
    except ImportError:
        return
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start(command: list[str], report: int) -> int:
    """Fork and execute the command in a process group of its own; return its pid."""
    guard = os.getpid()
    child = os.fork()
    if child:
        try:
            os.setpgid(child, child)  # both sides do it: neither may run on before it is done
        except OSError:
            return child  # the child has done it, and has executed or ended since
        return child
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == guard:
            for number in RESTORED:
                signal.signal(number, signal.SIG_DFL)
            make_view(command)
            os.execvp(command[0], command)  # noqa: S606 - there is no shell on purpose
    except OSError as error:
        os.write(report, b'{"errno": %d}\n' % (error.errno or 0))
    finally:
        os._exit(127)


def make_view(command: list[str]) -> None:
    """Do what the command does if it is view_program.py, without another start of Python."""
    folder = os.path.dirname(__file__)  # noqa: PTH120
    if command[3:4] == [os.path.join(folder, "view_program.py")]:  # noqa: PTH118
        import importlib  # noqa: PLC0415 - only where it is asked for

        sys.path.insert(0, folder)
        importlib.import_module("view_program").main(command[4:])


class Tree:
    """The tool and everything that descends from it."""

    def __init__(self, child: int, wake: int) -> None:
        self.child = child
        self.wake = wake
        self.status: int | None = None
        self.peak = 0
        self.empty = False

    def wait(self, handles: list[int], seconds: float | None) -> list[int]:
        """Wait for a handle or for the end of a process; reap what ended."""
        ready, _, _ = select.select([*handles, self.wake], [], [], seconds)
        if self.wake in ready:
            os.read(self.wake, 4096)
        self._reap()
        return ready

    def _reap(self) -> None:
        while not self.empty:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.empty = True
                return
            if not pid:
                return
            self.peak = max(self.peak, usage.ru_maxrss * RSS_UNIT)
            if pid == self.child:
                self.status = status

    def send(self, number: int) -> None:
        """Signal the tool's process group."""
        try:
            os.killpg(self.child, number)
        except (ProcessLookupError, PermissionError):
            return  # all have ended; macOS says "not permitted" of a group of zombies

    def sweep(self) -> None:
        """Kill the group and, where orphans come to this process, all that left the group."""
        end = time.monotonic() + SWEEP_SECONDS
        self.send(signal.SIGKILL)
        self._reap()
        while not self.empty and time.monotonic() < end:
            for pid in adopted():
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue  # it ended first, or runs as another user: nothing left to try
            self.wait([], 0.05)


def adopted() -> list[int]:
    """Return this process's children, as far as the kernel tells."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def watch(tree: Tree, control: int, grace: float) -> bool:
    """Wait for the tool's end; return False if the orchestrator ended first."""
    sent = 0
    due: float | None = None
    while tree.status is None:
        left = None if due is None else max(0.0, due - time.monotonic())
        asked = control in tree.wait([control], left)
        if asked and not os.read(control, 1):
            return False
        late = due is not None and time.monotonic() >= due
        if (asked or late) and sent < len(STOP_SIGNALS):
            tree.send(STOP_SIGNALS[sent])
            sent += 1
            due = time.monotonic() + grace if sent < len(STOP_SIGNALS) else None
    return True


def restore_locale(given: str) -> None:
    """Undo what Python did to LC_CTYPE in the environment that the tool inherits."""
    if given:
        os.environ["LC_CTYPE"] = given[1:]
    else:
        os.environ.pop("LC_CTYPE", None)


def main(arguments: list[str]) -> None:
    """Run one tool as the module says."""
    control, report = int(arguments[0]), int(arguments[1])
    for handle in (control, report):
        os.set_inheritable(handle, False)  # a tool that held one would hide our end
    wake, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    restore_locale(arguments[3])
    tree = Tree(start(arguments[4:], report), wake)
    os.write(report, b'{"pid": %d}\n' % tree.child)
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)  # only the tree may hold its output open
    os.dup2(silence, 2)
    alive = watch(tree, control, float(arguments[2]))
    tree.sweep()
    if alive:
        os.write(report, b'{"status": %d, "peak": %d}\n' % (tree.status or 0, tree.peak))


if __name__ == "__main__":
    main(sys.argv[1:])
