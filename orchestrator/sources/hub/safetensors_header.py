"""The start of a safetensors file, in at most two reads of a range.

The format: 8 bytes of little-endian length, that many bytes of JSON, then tensor data
(the safetensors project's README, "Format").
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.base.errors import StepError

FIRST_RANGE = 48 << 10  # holds the header of a 7B model's shard (about 32 KB)
LONGEST_HEADER = 100 << 20  # the limit of the safetensors library itself

ReadRange = Callable[[int, int], tuple[bytes, int]]


def header(path: str, read_range: ReadRange) -> tuple[bytes, int]:
    """Return all bytes before the tensor data, and the file's size.

    Args:
        path: The file's name, for messages.
        read_range: Given the first byte and the byte after the last, returns what the file
            has of that range, and its size in bytes.

    Raises:
        StepError: It is no safetensors file.
    """
    start, total = read_range(0, FIRST_RANGE)
    need = 8 + int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:9] != b"{" or not 10 <= need <= min(total, LONGEST_HEADER):
        raise StepError(
            f"{path} does not start like a safetensors file.",
            "The upload is damaged, or the file only has the suffix; choose another revision.",
        )
    if need > len(start):
        start += read_range(len(start), need)[0]
    if len(start) < need:
        raise StepError(f"The header of {path} ends early.", "Run again.")
    return start[:need], total


def local_range(path: Path, start: int, end: int) -> tuple[bytes, int]:
    """Read a range of a local file, as :func:`header` wants it."""
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(end - start), path.stat().st_size
