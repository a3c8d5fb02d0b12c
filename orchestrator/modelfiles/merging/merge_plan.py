"""What a merge will write: every tensor's sources, checked, before a byte is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base.step_values import JSON
from orchestrator.modelfiles.merging.tensor_location import TensorRef


@dataclass(frozen=True)
class PlannedTensor:
    """One float16 tensor of the result: ``left`` + ``right``, element by element.

    ``left`` may have fewer rows than the result (``shape``); the missing ones count as zero.
    """

    name: str
    shape: tuple[int, ...]
    left: TensorRef
    right: TensorRef

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the result, two per element."""
        return 2 * self.count


@dataclass(frozen=True)
class MergePlan:
    """A checked merge.

    Attributes:
        tensors: In the order they are written.
        config: The content of the result's config.json.
        copies: Files to copy as they are: name in the result -> source.
        new_rows: How many vocabulary rows the result has more than the base.
        warnings: Sentences for the report.
    """

    tensors: tuple[PlannedTensor, ...]
    config: Mapping[str, JSON]
    copies: Mapping[str, Path]
    new_rows: int = 0
    warnings: tuple[str, ...] = field(default=())

    @property
    def nbytes(self) -> int:
        """The bytes of all tensors of the result, without headers."""
        return sum(tensor.nbytes for tensor in self.tensors)
