"""Gives a tool its own view of the machine, and becomes the tool. Linux only.

Run as a script, or, to save a start of Python, by the fork of guard_program.py:

    python -I -S view_program.py [net] [pid] WORD... run CWD [as USER GROUP] PROGRAM [ARGUMENT...]

``net`` and ``pid`` give it a network and processes of its own, too. The words say what is mounted
where, see :func:`arrange`. With ``as`` the program gets namespaces below these, in which it is who
it was and cannot take the view away. The first process of a namespace of processes stays that one,
and ends as the program did.

Only cheap modules are imported, since this start-up time is added to every tool's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

try:
    import ctypes
except ImportError:
    sys.exit("this Python has no ctypes")

# From linux/sched.h, linux/prctl.h and linux/mount.h.
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
FLAGS = {"net": CLONE_NEWNET, "pid": CLONE_NEWPID}
PR_SET_PDEATHSIG = 1
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 4096, 8192, 16384, 1 << 18
FAILED = "this tool could not be cut off from the network and the home folder"
# What a Python handles, ignores or makes an exception of; the first process of a namespace ignores
# signals without a handler.
RESTORED = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)

libc = ctypes.CDLL(None, use_errno=True)


def asked(result: int) -> None:
    """Raise what a call of libc that failed left in errno."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(source: str, target: str, kind: str, flags: int) -> None:
    """Call mount(2)."""
    words = (os.fsencode(one) for one in (source, target, kind))
    asked(libc.mount(*words, ctypes.c_ulong(flags), None))


def bind(source: str, target: str) -> None:
    """Show a file or folder, with what is mounted in it, at another place."""
    if os.path.isdir(source):  # noqa: PTH112 - pathlib is slow to import, here and below
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        if not os.path.exists(target):  # noqa: PTH110
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT))
    mount(source, target, "none", MS_BIND | MS_REC)


def lock(target: str) -> None:
    """Let nobody write below a mount."""
    flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV
    try:
        mount("none", target, "none", flags)
    except OSError:
        mount("none", target, "none", flags | MS_NOEXEC)


def arrange(words: Iterator[str]) -> None:
    """Mount what isolation.py's words say, up to the end or ``run``.

    A hidden folder's replacement is put together over /sys, which is there again afterwards.
    """
    for word in words:
        if word == "run":
            return
        if word == "processes":
            mount("none", "/proc", "proc", 0)
        elif word == "begin":
            mount("none", "/sys", "tmpfs", 0)
        elif word in ("read", "write"):
            source, target = next(words), f"/sys/{next(words)}"
            bind(source, target)
            if word == "read":
                lock(target)
        elif word == "end":
            mount("/sys", next(words), "none", MS_MOVE)
        elif word == "blank":
            mount("/dev/null", next(words), "none", MS_BIND)


def separate(flags: int, user: int, group: int) -> None:
    """Enter namespaces of users, mounts and what ``flags`` say, as this user."""
    outside = os.getuid(), os.getgid()
    asked(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | flags))
    for name, text in (
        ("uid_map", f"{user} {outside[0]} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{group} {outside[1]} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
            file.write(text)


def fork() -> None:
    """Go on in a child, which dies with this process; this one ends as the child does.

    A terminal interrupts both, and what the child makes of that is its own affair.
    """
    heed(signal.SIG_IGN)
    child = os.fork()
    if not child:
        heed(signal.SIG_DFL)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        return
    pid = status = 0
    while pid != child:  # orphans come to the first process of a namespace
        pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def heed(how: signal.Handlers) -> None:
    """Let what asks a program to end do what it does, or nothing."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, how)


def run(words: list[str]) -> None:
    """Make the view, and become the program in it.

    Raises:
        OSError: The system does not allow it.
    """
    flags = 0
    while words[0] in FLAGS:
        flags |= FLAGS[words.pop(0)]
    separate(flags, 0, 0)
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    if flags & CLONE_NEWPID:
        fork()
    left = iter(words)
    arrange(left)
    os.chdir(next(left))  # anew: what it was until then may be hidden
    argv = list(left)
    if argv[0] == "as":
        if flags & CLONE_NEWPID:
            fork()
        separate(0, int(argv[1]), int(argv[2]))
        del argv[:3]
    become(argv)


def become(argv: list[str]) -> NoReturn:
    """Replace this process by the program."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - Python may change LC_CTYPE
        env = dict(one.split(b"=", 1) for one in file.read().split(b"\0") if b"=" in one)
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - there is no shell on purpose
    except OSError as error:
        os.write(2, os.fsencode(f"{argv[0]}: {error.strerror}\n"))
        os._exit(127)


def main(arguments: list[str]) -> NoReturn:
    """Run a program as the module says."""
    signal.set_wakeup_fd(-1)
    for number in RESTORED:
        signal.signal(number, signal.SIG_DFL)
    try:
        run(arguments)
    except OSError as error:
        os.write(2, f"{FAILED}: {error.strerror}\n".encode())
    os._exit(125)


if __name__ == "__main__":
    main(sys.argv[1:])
