"""What a merge will write: every tensor's sources, checked, before a byte is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base.step_values import JSON
from orchestrator.modelfiles.merging.tensor_location import TensorRef
from orchestrator.modelfiles.safetensors import BITS


@dataclass(frozen=True)
class PlannedTensor:
    """One float16 tensor of the result: ``left`` + ``right``, element by element.

    ``left`` may have fewer rows than the result (``shape``); the missing ones count as zero.
    """

    name: str
    shape: tuple[int, ...]
    left: TensorRef
    right: TensorRef
    dtype = "F16"
    width = 2
    row = 1

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the result, two per element."""
        return 2 * self.count


@dataclass(frozen=True)
class Term:
    """A change of a matrix: ``b @ a * factor``, or ``across``, the transposed of that."""

    a: TensorRef
    b: TensorRef
    factor: float
    across: bool


@dataclass(frozen=True)
class Adapted:
    """A tensor of the result in the type ``dtype``: ``left`` and the ``terms``, in their order."""

    name: str
    left: TensorRef
    dtype: str
    terms: tuple[Term, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        return self.left.shape

    @property
    def copied(self) -> bool:
        """Whether the result has the very bytes of ``left``."""
        return not self.terms and self.left.dtype == self.dtype

    @property
    def width(self) -> int:
        """Bytes of an element; of bytes that are copied, one."""
        return 1 if self.copied else BITS[self.dtype] // 8

    @property
    def row(self) -> int:
        """Elements that are made together at least."""
        return max(self.shape[-1], 1) if self.terms else 1

    @property
    def count(self) -> int:
        """The number of elements, or of bytes that are copied."""
        return self.left.nbytes if self.copied else self.left.count

    @property
    def nbytes(self) -> int:
        """The bytes of the result."""
        return self.count * self.width


@dataclass(frozen=True)
class MergePlan:
    """A checked merge.

    Attributes:
        tensors: In the order they are written.
        config: The content of the result's config.json; empty if that is among the copies.
        copies: Files to copy as they are: name in the result -> source.
        new_rows: How many vocabulary rows the result has more than the base.
        warnings: Sentences for the report.
    """

    tensors: tuple[PlannedTensor | Adapted, ...]
    config: Mapping[str, JSON]
    copies: Mapping[str, Path]
    new_rows: int = 0
    warnings: tuple[str, ...] = field(default=())

    @property
    def nbytes(self) -> int:
        """The bytes of all tensors of the result, without headers."""
        return sum(tensor.nbytes for tensor in self.tensors)
