"""Large files into the Hub cache, so that a kill loses no byte that has arrived.

huggingface_hub 2 downloads to a file with a name of its own for each process and starts from
zero after a kill. Here a file grows as ``blobs/<sha256>.incomplete`` (the name earlier clients
resumed from, and which `hf cache` knows how to clean), under the client's own lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from orchestrator.base import interruptible_sleep
from orchestrator.base.errors import Interrupted
from orchestrator.sources import retry_after
from orchestrator.sources.choose_model_files import HubFile
from orchestrator.sources.hub.cache import CachedRepo, Meter
from orchestrator.sources.hub.read_errors import BrokenTransferError, is_transport, status_of

TRIES = 5
_LONGEST_PAUSE = 120.0  # seconds; more than a Hub's rate limit window of a minute

Result = TypeVar("Result")


@dataclass(frozen=True)
class Body:
    """An answer being read: it starts at byte ``start`` of a file of ``total`` bytes."""

    start: int
    total: int
    chunks: Iterator[bytes]


OpenRange = Callable[[str, int], AbstractContextManager[Body]]


def pause(error: BaseException, attempt: int) -> float | None:
    """Seconds to wait before asking again, as the server wishes; None: do not ask again."""
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
            interruptible_sleep.rest(seconds)
    return call()


def stage(
    files: Sequence[HubFile], cache: CachedRepo, open_range: OpenRange, workers: int, meter: Meter
) -> None:
    """Bring LFS files (``sha256`` is set) into the cache's blobs, several at a time.

    On any failure, and on Ctrl-C, the other transfers stop at their next chunk and keep what
    they have. Contents are not checked here.
    """
    stop = threading.Event()

    def one(file: HubFile) -> None:
        _stage_one(file, cache, open_range, stop, meter)

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = [pool.submit(one, file) for file in _distinct(files)]
        try:
            _first_failure(futures)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _distinct(files: Sequence[HubFile]) -> list[HubFile]:
    return list({file.sha256: file for file in files}.values())


def _first_failure(futures: Sequence[Future[None]]) -> None:
    for future in as_completed(futures):
        future.result()


def _stage_one(
    file: HubFile, cache: CachedRepo, open_range: OpenRange, stop: threading.Event, meter: Meter
) -> None:
    from filelock import FileLock  # noqa: PLC0415 - only when something is fetched

    etag = file.sha256 or ""
    blob, lock = cache.blob(etag), cache.lock(etag)
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock, mode=0o664):  # the client's own mode, for caches shared by a group
        if blob.exists():
            meter.add(file.size)
            return
        part = blob.with_name(f"{etag}.incomplete")
        _complete(file, part, open_range, stop, meter)
        part.replace(blob)


def _complete(
    file: HubFile, part: Path, open_range: OpenRange, stop: threading.Event, meter: Meter
) -> None:
    """Append to ``part`` until it has the file's size; give up after TRIES without progress."""
    have = _usable(part, file.size)
    meter.add(have)
    failures = 0
    while have < file.size:
        try:
            with open_range(file.path, have) as body:
                _append(part, body, have, stop, meter)
        except Exception as error:
            seconds = pause(error, failures)
            grown = part.stat().st_size > have
            failures = 0 if grown else failures + 1
            if seconds is None or failures >= TRIES or stop.is_set():
                raise
            if not grown:
                interruptible_sleep.rest(seconds)
        have = _usable(part, file.size)


def _usable(part: Path, size: int) -> int:
    """Bytes of ``part`` to go on from; one that is too long cannot be the file's start."""
    part.touch()
    have = part.stat().st_size
    if have > size:
        part.write_bytes(b"")
        return 0
    return have


def _append(part: Path, body: Body, have: int, stop: threading.Event, meter: Meter) -> None:
    with part.open("r+b") as stream:
        if body.start != have:  # the server ignored the range: its answer starts over
            stream.truncate(0)
            meter.add(-have)
        stream.seek(0, 2)
        for chunk in body.chunks:
            stream.write(chunk)
            meter.add(len(chunk))
            if stop.is_set():
                raise Interrupted("The fetch was stopped.", "Run again to go on from here.")
        if stream.tell() < body.total:
            raise BrokenTransferError("the answer ended early")
