"""What is sent to shared caches beside a run: by few threads, and never for longer than allowed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Queue

from orchestrator.base import units
from orchestrator.base.errors import Interrupted, OrchestrateError
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.step_values import Step
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.shared_cache.shared_cache import SharedCache

_THREADS = 2
_SLICE_SECONDS = 0.1


class Uploads:
    """Steps whose results are being sent.

    Args:
        cache: Where they go.
        store: Where they are.
        warn: Told once what could not be sent.
    """

    def __init__(self, cache: SharedCache, store: Store, warn: Callable[[str], None]) -> None:
        self._cache, self._store, self._warn = cache, store, warn
        self._waiting: Queue[Step] = Queue()
        self._threads: list[threading.Thread] = []
        self._left = cache.remote.finish
        self._ended = threading.Event()

    def send(self, step: Step) -> None:
        """Send what a step has made, some time."""
        if not any(not one.place.read_only for one in self._cache.places):
            return
        self._waiting.put(step)
        if len(self._threads) < _THREADS:
            # A thread that hangs in somebody's library must not keep the process from ending.
            thread = threading.Thread(target=self._work, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while True:
            step = self._waiting.get()
            try:
                if not self._ended.is_set():
                    self._send(step)
            finally:
                self._waiting.task_done()

    def _send(self, step: Step) -> None:
        try:
            with self._store.hold([step.key]):
                made = self._store.find(step.key, quick=True)
                if made is not None:
                    self._cache.push(step, made)
        except Interrupted:
            self._ended.set()
        except (OrchestrateError, OSError) as error:
            self._warn(f"{step.label} was not sent to the shared cache: {error}")

    def finish(self) -> None:
        """Wait for what is being sent, in all no longer than the caches' ``finish`` says.

        Raises:
            Interrupted: The run is interrupted.
        """
        if self._ended.is_set():
            return  # it was said already
        begun = time.monotonic()
        with self._waiting.all_tasks_done:
            while self._waiting.unfinished_tasks and time.monotonic() - begun < self._left:
                check_stopped()
                self._waiting.all_tasks_done.wait(_SLICE_SECONDS)
        self._left = max(0.0, self._left - (time.monotonic() - begun))
        if late := self._waiting.unfinished_tasks:
            self._ended.set()
            self._warn(
                f"{units.plural(late, 'result')} could not be sent to the shared cache within "
                f"{self._cache.remote.finish:g} s; 'orchestrate store push' sends the rest"
            )
