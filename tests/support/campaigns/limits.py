"""One try within limits of processor time and memory; for processes that may be ended."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from pathlib import Path

from orchestrator.base.errors import OrchestrateError

SECONDS = 10.0  # of processor time, for files of less than a megabyte or two
BYTES = 256 << 20  # of memory for any file, and
TIMES = 64  # so many times the file's size
LONGEST = 2000  # letters of a line


def within_limits(work: Callable[[], object], size: int) -> tuple[str, str]:
    """Do something with a file of so many bytes: how it ended, and what should not have been.

    More memory raises MemoryError; more processor time ends the process with SIGPROF.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + BYTES + TIMES * size, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        work()
    except OrchestrateError as error:
        return "refused", _of_sentence(error)
    except BaseException as error:
        return "bug", f"{type(error).__name__}: {str(error)[:200]} ({_place(error)})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return "done", ""


def _of_sentence(error: OrchestrateError) -> str:
    longest = max(error.message.split("\n"), key=len)
    if len(longest) > LONGEST:
        return f"a sentence of {len(longest)} letters: {longest[:100]!r}"
    return "" if error.message else "an empty sentence"


def _place(error: BaseException) -> str:
    """The last line of the program's own that it came from."""
    at, place = error.__traceback__, ""
    while at is not None:
        file = at.tb_frame.f_code.co_filename
        if "/orchestrator/" in file:
            place = f"{Path(file).name}:{at.tb_lineno}"
        at = at.tb_next
    return place


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
