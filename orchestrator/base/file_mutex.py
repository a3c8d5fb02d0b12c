"""Who works on a key, and who uses it: file locks that a kill -9 releases.

locks/<key>.lock        held by the process that makes the artifact
locks/<key>.holder      who that is, for people
locks/<key>.use/*.lock  one for each reader; an artifact with one is not removed
locks/leases/*.lock     one for each run; its keys, in *.keys beside it, are left to it
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base.process.run_process import check_stopped

if TYPE_CHECKING:
    from filelock import BaseFileLock

# How long one attempt waits before it looks whether the run was interrupted.
SLICE_SECONDS = 0.25
POLL_SECONDS = 0.05
_LEASES = "leases"


def _lock_on(path: Path) -> BaseFileLock:
    from filelock import FileLock  # noqa: PLC0415 - slow to import, and not needed for hits

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def _try(lock: BaseFileLock, seconds: float) -> bool:
    from filelock import Timeout  # noqa: PLC0415 - as above

    try:
        lock.acquire(timeout=seconds, poll_interval=POLL_SECONDS)
    except Timeout:
        return False
    return True


def _end_lease(mark: BaseFileLock, path: Path) -> None:
    path.with_suffix(".keys").unlink(missing_ok=True)
    mark.release()
    path.unlink(missing_ok=True)


class Locks:
    """The locks of one store; ``leases`` names those of the run that this belongs to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.leases: frozenset[str] = frozenset()

    @contextmanager
    def exclusive(self, key: str, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the lock of a key, waiting for it as long as it takes.

        Args:
            key: A validated key.
            on_wait: Called once with who holds it ("process 12 on host"), when it is held.

        Raises:
            Interrupted: ``process.stop_all`` was called while it waited.
        """
        lock = _lock_on(self._folder / f"{key}.lock")
        if not _try(lock, 0):
            if on_wait is not None:
                on_wait(self._holder(key))
            while not _try(lock, SLICE_SECONDS):
                check_stopped()
        try:
            self._sign(key)
            yield
        finally:
            lock.release()

    @contextmanager
    def at_once(self, key: str) -> Iterator[str]:
        """Hold the lock of a key, or tell who holds it: an empty text means that it is ours."""
        lock = _lock_on(self._folder / f"{key}.lock")
        if not _try(lock, 0):
            yield self._holder(key)
            return
        try:
            self._sign(key)
            yield ""
        finally:
            lock.release()

    @contextmanager
    def if_free(self, key: str) -> Iterator[bool]:
        """Hold the lock of a key if nobody does; tell whether it is held now."""
        lock = _lock_on(self._folder / f"{key}.lock")
        held = _try(lock, 0)
        try:
            yield held
        finally:
            if held:
                lock.release()

    @contextmanager
    def use(self, key: str) -> Iterator[None]:
        """Keep an artifact from being removed; many may do so at once."""
        with self.exclusive(key):  # else a removal could be under way
            path = self._folder / f"{key}.use" / f"{uuid.uuid4().hex}.lock"
            mark = _lock_on(path)
            mark.acquire()
        try:
            yield
        finally:
            mark.release()
            path.unlink(missing_ok=True)

    def in_use(self, key: str) -> bool:
        """Tell whether someone uses a key; to be asked with its lock held."""
        folder = self._folder / f"{key}.use"
        for path in folder.glob("*.lock"):
            mark = _lock_on(path)
            if not _try(mark, 0):
                return True
            mark.release()  # its owner was killed
            path.unlink(missing_ok=True)
        return False

    @contextmanager
    def lease(self, keys: Collection[str]) -> Iterator[None]:
        """Let nobody else remove what has these keys, or gets them meanwhile.

        Raises:
            OSError: The lease cannot be written down.
        """
        name = uuid.uuid4().hex
        path = self._folder / _LEASES / f"{name}.lock"
        mark = _lock_on(path)
        with self.exclusive(_LEASES):  # else a removal could be under way
            mark.acquire()
            path.with_suffix(".keys").write_text("\n".join(keys), encoding="ascii")
        self.leases |= {name}
        try:
            yield
        finally:
            self.leases -= {name}
            _end_lease(mark, path)

    @contextmanager
    def unleased(self, key: str) -> Iterator[bool]:
        """Tell whether no other run has a lease on a key; none gets one in this context."""
        with self.exclusive(_LEASES):
            yield not any(key in keys for keys in self._leases_of_others())

    def _leases_of_others(self) -> Iterator[frozenset[str]]:
        for path in (self._folder / _LEASES).glob("*.lock"):
            if path.stem in self.leases:
                continue
            mark = _lock_on(path)
            if _try(mark, 0):
                _end_lease(mark, path)  # its owner was killed
                continue
            with contextlib.suppress(FileNotFoundError):  # it ends at this moment
                yield frozenset(path.with_suffix(".keys").read_text("ascii").split())

    def _sign(self, key: str) -> None:
        record = {"pid": os.getpid(), "host": socket.gethostname()}
        (self._folder / f"{key}.holder").write_text(json.dumps(record), encoding="utf-8")

    def _holder(self, key: str) -> str:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((self._folder / f"{key}.holder").read_bytes())
            return f"process {record['pid']} on {record['host']}"
        return "another process"  # which has not signed yet
