"""One digest of all tensors of a GGUF file: files that share it differ in the header alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from orchestrator.base.digest import CHUNK_BYTES, key
from orchestrator.modelfiles.gguf import GGUF


def sha256(path: Path, header: GGUF, between: Callable[[], None]) -> str:
    """The SHA-256 of names, shapes, types and bytes of the tensors, in the file's order.

    Args:
        path: The file.
        header: Its header.
        between: Called after every chunk; what it raises ends the reading.

    Raises:
        OSError: The file cannot be read.
    """
    told = [[one.name, list(one.shape), one.type, one.offset] for one in header.tensors]
    found = hashlib.sha256(key(told).encode())
    with path.open("rb", buffering=0) as file:
        file.seek(header.data_offset)
        buffer = memoryview(bytearray(CHUNK_BYTES))
        while count := file.readinto(buffer):
            found.update(buffer[:count])
            between()
    return found.hexdigest()
