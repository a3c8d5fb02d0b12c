"""Where a tensor's bytes lie, independent of the file format that holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path


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
