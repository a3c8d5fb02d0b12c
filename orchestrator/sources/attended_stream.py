"""Reading from servers so that an interrupt ends it at once, whatever the server does.

A read from a socket ends neither with Ctrl-C nor, while a byte arrives now and then, with a time
limit of its own. So a thread reads, and whoever wants the pieces waits for it in short slices.
A thread that is given up ends with its next piece or with the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

from orchestrator.base.process.run_process import check_stopped

Piece = TypeVar("Piece")

_SLICE_SECONDS = 0.2
_AHEAD = 8  # pieces that are read before they are asked for


class TooLateError(Exception):
    """Nothing came in time."""


class Attended(Generic[Piece]):
    """What ``read`` yields, read by a thread.

    Args:
        read: Called in the thread; what it raises is raised where the pieces are asked for.
    """

    def __init__(self, read: Callable[[], Iterator[Piece]]) -> None:
        self._queue: Queue[tuple[Piece | None, BaseException | None]] = Queue(_AHEAD)
        self._unwanted = threading.Event()
        threading.Thread(target=self._work, args=(read,), daemon=True).start()

    def _work(self, read: Callable[[], Iterator[Piece]]) -> None:
        try:
            for piece in read():
                if not self._put((piece, None)):
                    return
            self._put((None, None))
        except BaseException as error:  # it is raised again by whoever asks for a piece
            self._put((None, error))

    def _put(self, item: tuple[Piece | None, BaseException | None]) -> bool:
        while not self._unwanted.is_set():
            try:
                self._queue.put(item, timeout=_SLICE_SECONDS)
            except Full:
                continue
            return True
        return False

    def take(self, end: float | None, stop: Callable[[], None] = check_stopped) -> Piece | None:
        """The next piece; None when there is none.

        Args:
            end: When (``time.monotonic``) it is too late.
            stop: Called while waiting; what it raises ends the wait.

        Raises:
            TooLateError: None came in time.
            Interrupted: The run is interrupted.
        """
        while True:
            stop()
            if end is not None and time.monotonic() > end:
                raise TooLateError
            try:
                piece, error = self._queue.get(timeout=_SLICE_SECONDS)
            except Empty:
                continue
            if error is not None:
                raise error
            return piece

    def close(self) -> None:
        """Let the thread end: nothing more is wanted."""
        self._unwanted.set()


def within(seconds: float, work: Callable[[], Piece]) -> Piece:
    """What ``work`` gives, done by a thread.

    Raises:
        TooLateError: It took longer.
        Interrupted: The run is interrupted.
    """
    waiting = Attended(lambda: iter((work(),)))
    try:
        given = waiting.take(time.monotonic() + seconds)
    finally:
        waiting.close()
    assert given is not None
    return given
