"""Where a tensor's bytes lie, independent of the file format that holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.base.errors import StepError


@dataclass(frozen=True)
class TensorRef:
    """One tensor in one file: contiguous, row-major, little-endian.

    Attributes:
        dtype: safetensors' name of the type, as F16.
        offset: Of the first byte, from the start of ``file``.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    nbytes: int

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


def read_all(file: BinaryIO, into: memoryview, ref: TensorRef) -> None:
    """Fill ``into`` from an unbuffered file.

    Raises:
        StepError: The file ends before that.
    """
    while into:
        count = file.readinto(into)  # type: ignore[attr-defined]
        if not count:
            raise StepError(f"{ref.file} became shorter while {ref.name} was read.")
        into = into[count:]
