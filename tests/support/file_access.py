"""Which files and folders this process reads while it does something."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

READING = {"open", "os.listdir", "os.scandir", "glob.glob", "sqlite3.connect", "socket.connect"}

_lists: list[list[str]] = []
_hooked = threading.Event()


@contextmanager
def accesses() -> Iterator[list[str]]:
    """What is opened or listed inside, each as the event's name and what it is about."""
    if not _hooked.is_set():  # the hook of a process cannot be removed
        sys.addaudithook(_note)
        _hooked.set()
    found: list[str] = []
    _lists.append(found)
    try:
        yield found
    finally:
        _lists.remove(found)


def _note(event: str, args: tuple[object, ...]) -> None:
    if _lists and event in READING:
        for one in _lists:
            one.append(f"{event} {args[0]!s}" if args else event)
