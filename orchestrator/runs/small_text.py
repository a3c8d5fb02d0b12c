"""Small files that are written out only when what they are made of has changed.

To write a report or a statement takes longer than to see that it is there: a run of many recipes
that are up to date would do little else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator import __version__
from orchestrator.base.atomic_file import put
from orchestrator.base.digest import file_sha256, key_of_parsed
from orchestrator.base.step_values import JSON
from orchestrator.engine.digest_cache import Digests

_PROGRAM = Path(__file__).parents[1]


@dataclass(frozen=True)
class Text:
    """The text of a file: ``make`` gives it, and it depends on ``basis`` and this program alone."""

    basis: JSON
    make: Callable[[], str]

    def bring(self, path: Path, digests: Digests) -> dict[str, JSON]:
        """Bring a file up to date, and return its size in bytes and its SHA-256.

        The text is made when it was not made of this for that file, or the file was changed.

        Raises:
            OSError: It cannot be written.
        """
        basis = key_of_parsed([_program(), self.basis])
        with suppress(OSError):
            sha256 = file_sha256(path)
            if digests.was_made_of(path, sha256, basis):
                return {"size": path.stat().st_size, "sha256": sha256}
        data = self.make().encode("utf-8")
        put(path, data)
        sha256 = hashlib.sha256(data).hexdigest()
        digests.note_made(path, sha256, basis)
        return {"size": len(data), "sha256": sha256}


@cache
def _program() -> str:
    """A digest of this program's version and, for those who work on it, of its files' times."""
    found = []
    for folder, folders, names in os.walk(_PROGRAM):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for name in sorted(names):
            told = Path(folder, name).stat()
            found.append((name, told.st_size, told.st_mtime_ns))
    return key_of_parsed([__version__, found])
