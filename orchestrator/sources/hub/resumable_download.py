"""Files into the Hub cache, so that a kill loses no byte and no wrong byte gets there.

huggingface_hub 2 downloads to a file with a name of its own for each process and starts from
zero after a kill. Here a file grows as ``blobs/<digest>.incomplete`` (the name earlier clients
resumed from, and which `hf cache` knows how to clean), under the client's own lock, and becomes a
blob when its content has that digest. The digest is the listing's, which passed the gate.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from orchestrator.base import interruptible_sleep, safe_text, units
from orchestrator.base.errors import EnvironmentProblem, Interrupted
from orchestrator.base.process.run_process import check_stopped
from orchestrator.sources import retry_after
from orchestrator.sources.choose_model_files import HubFile
from orchestrator.sources.hub.cache import (
    CachedRepo,
    Corrupt,
    Meter,
    content_digest,
    still_corrupt,
)
from orchestrator.sources.hub.read_errors import BrokenTransferError, is_transport, status_of

TRIES = 5
_LONGEST_PAUSE = 120.0  # seconds; more than a Hub's rate limit window of a minute
_PROGRESS = 64 << 10  # bytes; a try that brings fewer is a failure
SLOW_SECONDS = 60.0  # in which at least as many bytes must come, or the connection is broken
# Plain HTTP serves no larger file (huggingface_hub's MAX_HTTP_DOWNLOAD_SIZE); Xet does.
LARGEST_BY_HTTP = 50_000_000_000
_LOCK_SECONDS = 0.25

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Body:
    """An answer being read: it starts at byte ``start`` of a file of ``total`` bytes.

    ``total`` is 0 when the server does not say.
    """

    start: int
    total: int
    chunks: Iterator[bytes]


OpenRange = Callable[[str, int], AbstractContextManager[Body]]
FetchWhole = Callable[[str, Path, int], None]


def pause(error: BaseException, attempt: int) -> float | None:
    """Seconds to wait before asking again, as the server request; None: do not ask again."""
    status = status_of(error)
    if status is None:
        return min(2.0**attempt, 8.0) if is_transport(error) else None
    if status not in retry_after.RETRIED_STATUS:
        return None
    wanted = retry_after.asked(getattr(error, "response").headers)  # noqa: B009
    return min(2.0**attempt, 8.0) if wanted is None else min(wanted, _LONGEST_PAUSE)


def retrying(call: Callable[[], Result], tries: int = 4) -> Result:
    """Call until it works, up to ``tries`` times where asking again can help."""
    for attempt in range(tries - 1):
        try:
            return call()
        except Exception as error:
            seconds = pause(error, attempt)
            if seconds is None:
                raise
            _wait(seconds, "the Hub", error)
    return call()


def _wait(seconds: float, what: str, error: BaseException) -> None:
    """Rest, and say so: nobody shall wonder what a run waits for."""
    status = status_of(error)
    why = f"HTTP {status}" if status is not None else str(error) or type(error).__name__
    shown = safe_text.line(why[:200])
    _log.warning("%s: %s; asking again in %s", safe_text.line(what), shown, units.duration(seconds))
    interruptible_sleep.sleep(seconds)


@dataclass(frozen=True)
class Transfer:
    """What all files of one fetch share.

    Attributes:
        cache: Where they go.
        open_range: Asks for a file from a byte on.
        by_xet: Brings a whole file of so many bytes to a path, where HTTP does not.
        fetched: Counts bytes that came.
        checked: Counts bytes whose digest was computed.
        stop: Set when another file has failed.
    """

    cache: CachedRepo
    open_range: OpenRange
    by_xet: FetchWhole
    fetched: Meter
    checked: Meter
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise Interrupted when the run, or this fetch, ends."""
        check_stopped()
        if self.stop.is_set():
            raise Interrupted("The fetch was stopped.", "Run again to go on from here.")


def stage(files: Sequence[HubFile], transfer: Transfer, workers: int) -> None:
    """Bring files into the cache's blobs, several at a time, each with the digest it states.

    On any failure, and on Ctrl-C, the other transfers stop at their next chunk and keep what
    they have.

    Raises:
        StepError: A file's content is wrong, twice; neither is kept.
        EnvironmentProblem: A server says another size than the listing.
        Exception: What ``open_range`` raises, when asking again does not help.
    """
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = [pool.submit(_stage_one, file, transfer) for file in _distinct(files)]
        try:
            _first_failure(futures)
        except BaseException:
            transfer.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _distinct(files: Sequence[HubFile]) -> list[HubFile]:
    return list({file.digest: file for file in files}.values())


def _first_failure(futures: Sequence[Future[None]]) -> None:
    for future in as_completed(futures):
        future.result()


def _stage_one(file: HubFile, transfer: Transfer) -> None:
    blob = transfer.cache.blob(file.digest)
    blob.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file, transfer):
        if blob.is_file():
            if not _wrong(file, blob, transfer):
                transfer.fetched.add(file.size)
                return
            blob.unlink()
        part = blob.with_name(f"{file.digest}.incomplete")
        for attempt in range(2):
            if file.size > LARGEST_BY_HTTP:
                transfer.by_xet(file.path, part, file.size)
                transfer.fetched.add(file.size)
            else:
                _complete(file, part, transfer)
            bad = _wrong(file, part, transfer)
            if not bad:
                part.replace(blob)
                return
            part.unlink()
            transfer.fetched.add(-file.size)
            if attempt:
                raise still_corrupt(transfer.cache.repo, bad, retried=True)
            shown = safe_text.line(file.path)
            _log.warning("%s arrived with other content; fetching it again", shown)


@contextmanager
def _locked(file: HubFile, transfer: Transfer) -> Iterator[None]:
    """Hold the client's own lock on a file, waiting for it as long as it takes."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only when something is fetched

    path = transfer.cache.lock(file.digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, mode=0o664)  # the client's own mode, for caches shared by a group
    told = False
    while not lock.is_locked:
        transfer.check()
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            if not told:
                shown = safe_text.line(file.path)
                _log.warning("%s: waiting for another process that fetches it", shown)
            told = True
    try:
        yield
    finally:
        lock.release()


def _wrong(file: HubFile, path: Path, transfer: Transfer) -> Corrupt | None:
    """Whether a file has other content than it states; it is counted as checked if not."""
    size = path.stat().st_size
    if size != file.size:
        return Corrupt(file, f"{file.size} bytes", f"{size} bytes")
    counted = 0

    def count(more: int) -> None:
        nonlocal counted
        transfer.check()
        counted += more
        transfer.checked.add(more)

    got = content_digest(path, git=file.sha256 is None, count=count)
    if got == file.digest:
        return None
    transfer.checked.add(-counted)
    return Corrupt(file, file.digest, got)


def _complete(file: HubFile, part: Path, transfer: Transfer) -> None:
    """Append to ``part`` until it has the file's size; give up after TRIES without progress."""
    have = _usable(part, file.size)
    transfer.fetched.add(have)
    failures = 0
    while have < file.size:
        transfer.check()
        try:
            with transfer.open_range(file.path, have) as body:
                _append(file, part, body, have, transfer)
        except Exception as error:
            seconds = pause(error, failures)
            grown = part.stat().st_size - have
            failures = 0 if grown >= _PROGRESS else failures + 1
            if seconds is None or failures >= TRIES:
                raise
            if failures:
                _wait(seconds, file.path, error)
        have = _usable(part, file.size)


def _usable(part: Path, size: int) -> int:
    """Bytes of ``part`` to go on from; one that is too long cannot be the file's start."""
    part.touch()
    have = part.stat().st_size
    if have > size:
        part.write_bytes(b"")
        return 0
    return have


def _append(file: HubFile, part: Path, body: Body, have: int, transfer: Transfer) -> None:
    if body.total not in (0, file.size):
        raise _other_size(file, f"{body.total:,}", transfer)
    with part.open("r+b") as stream:
        if body.start != have:  # the server ignored the range: its answer starts over
            stream.truncate(0)
            transfer.fetched.add(-have)
        stream.seek(0, 2)
        pace = _Pace()
        for chunk in body.chunks:
            pace.add(len(chunk))
            if stream.tell() + len(chunk) > file.size:
                raise _other_size(file, "more", transfer)
            stream.write(chunk)
            transfer.fetched.add(len(chunk))
            transfer.check()
        if stream.tell() < file.size:
            raise BrokenTransferError("the answer ended early")


class _Pace:
    """Notices a server that sends next to nothing, which no limit on silence does."""

    def __init__(self) -> None:
        self._since, self._bytes = time.monotonic(), 0

    def add(self, count: int) -> None:
        """Count bytes.

        Raises:
            BrokenTransferError: Too few have come for too long.
        """
        self._bytes += count
        now = time.monotonic()
        if now - self._since < SLOW_SECONDS:
            return
        if self._bytes < _PROGRESS:
            raise BrokenTransferError(f"only {self._bytes} bytes in {SLOW_SECONDS:g} s")
        self._since, self._bytes = now, 0


def _other_size(file: HubFile, told: str, transfer: Transfer) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"The Hub lists {file.path} of {transfer.cache.repo} with {file.size:,} bytes, and sends "
        f"{told}.",
        "A mirror or a proxy may be out of date; name another one in HF_ENDPOINT.",
    )
