"""What has to be known of a model file that a tool has made: sound values, and its digest.

Both need every byte, and both can be had while other programs use the cores: of a file that is
written from front to back while it is written, else side by side afterwards.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import Interrupted, StepError
from orchestrator.base.growing_file import GrowingFile, following
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles.comparing import opened_files
from orchestrator.modelfiles.format_error import FormatError

# A header is looked for when the file has so many bytes, and then twice as many, and so on.
_FIRST_LOOK = 1 << 20
_VALUES = "orchestrator.modelfiles.tensor_values"


class Watched:
    """A GGUF file that is looked at while it is written."""

    def __init__(self, path: Path, growing: GrowingFile) -> None:
        self._path, self._growing = path, growing
        self._sound = False
        self._thread = threading.Thread(target=self._scan, name=f"scan {path.name}")
        self._thread.start()

    def facts(self, task: Task) -> dict[str, JSON]:
        """As :func:`facts`, when its writer has ended; quick unless something was odd."""
        self._thread.join()
        sha256 = self._growing.sha256(task.threads, check_stopped)
        if sha256 is None:  # it was not written from front to back
            return facts(task, self._path)
        digests = {self._path.name: sha256}
        if not self._sound:
            return {**_sound(task, self._path), "digests": digests}
        opened_files.open_model(self._path)  # all that its header says is there
        return {"digests": digests}

    def _scan(self) -> None:
        """Look at every tensor as soon as it is there; what is odd is looked at again later."""
        from orchestrator.modelfiles import tensor_values  # noqa: PLC0415 - numpy is heavy

        with contextlib.suppress(FormatError, StepError, OSError):
            tensors = self._tensors()
            found = tensor_values.scan_tensors(tensors, lambda _done, _total: None, self._wait)
            self._sound = not any(found)

    def _wait(self, end: int) -> None:
        if not self._growing.wait_for(end):
            raise StepError(f"{self._path} ended early")

    def _tensors(self) -> tuple[opened_files.Located, ...]:
        size = _FIRST_LOOK
        while True:
            self._wait(size)
            with contextlib.suppress(FormatError):
                return opened_files.growing_tensors(self._path)
            size *= 2


@contextmanager
def watched(path: Path) -> Iterator[Watched]:
    """Look at a file while the body has it written; it need not be there yet."""
    with following(path) as growing:
        yield Watched(path, growing)


def make_ready() -> None:
    """Import what looks at values, which takes a while, while a tool makes them."""
    threading.Thread(target=import_module, args=[_VALUES], daemon=True).start()


def facts(task: Task, output: Path) -> dict[str, JSON]:
    """Hold the values of a finished file against what weights are, and find its digest.

    Returns:
        Facts: ``digests`` (:meth:`orchestrator.engine.artifact_store.Store.commit`), and the
        names of ``constant`` matrices if there are any.

    Raises:
        StepError: As :func:`orchestrator.modelfiles.tensor_values.expect_sound_output`.
        OSError: The file cannot be read.
    """
    failed = threading.Event()

    def between() -> None:
        check_stopped()
        if failed.is_set():
            raise Interrupted("nobody wants the digest of a damaged file")

    with ThreadPoolExecutor(1) as pool:
        sha256 = pool.submit(file_sha256, output, between)
        try:
            found = _sound(task, output)
        except BaseException:
            failed.set()
            raise
        return {**found, "digests": {output.name: sha256.result()}}


def _sound(task: Task, output: Path) -> dict[str, JSON]:
    from orchestrator.modelfiles import tensor_values  # noqa: PLC0415 - numpy is heavy

    return tensor_values.expect_sound_output(task, output)
