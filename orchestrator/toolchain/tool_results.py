"""Results of tools that are no text: fields of a benchmark's JSON, the layout of saved logits."""

from __future__ import annotations

import struct
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from orchestrator.toolchain import formula
from orchestrator.toolchain.data import Data

_LOGITS = ("context", "vocabulary", "chunks")
Formula = Annotated[str, AfterValidator(formula.checked(*_LOGITS))]


class BenchmarkFields(Data):
    """Names of the fields that hold one speed, in the entries of a benchmark's JSON list."""

    tokens: str = Field(description="How many tokens; an entry where it is 0 is of another speed.")
    nanoseconds: str = Field(description="Mean time of a repetition.")
    tokens_per_second: str = Field(description="Mean speed.")
    stddev: str = Field(description="Standard deviation of that speed.")


class SavedLogits(Data):
    """The layout of a file of logits: magic, 32-bit numbers (little-endian), and the rest.

    A formula is of whole numbers, ``+ - * //`` and the names context, vocabulary and chunks.
    """

    magic: str = Field(min_length=1, description="How the file begins.")
    header: tuple[str, ...] = Field(
        description="Names of the numbers that follow: context, vocabulary and chunks."
    )
    size: Formula = Field(description="Formula of the whole file's size in bytes.")
    scored: Formula = Field(description="Formula of the tokens that it holds logits for.")
    enough: int = Field(default=1, description="Fewest such tokens that a divergence needs.")

    @field_validator("header")
    @classmethod
    def _complete(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if sorted(names) != sorted(_LOGITS):
            raise ValueError(f"needs each of {', '.join(_LOGITS)} once")
        return names

    @property
    def header_size(self) -> int:
        """Bytes of magic and numbers."""
        return len(self.magic.encode()) + 4 * len(self.header)

    def read_header(self, head: bytes) -> dict[str, int] | None:
        """The numbers by their names; None if the bytes are no whole header."""
        magic = self.magic.encode()
        if len(head) < self.header_size or not head.startswith(magic):
            return None
        numbers = struct.unpack_from(f"<{len(self.header)}i", head, len(magic))
        return dict(zip(self.header, numbers, strict=True))

    def size_of(self, *, context: int, vocabulary: int, chunks: int) -> int:
        """Size of a whole file in bytes."""
        values = {"context": context, "vocabulary": vocabulary, "chunks": chunks}
        return formula.value(self.size, values)

    def scored_tokens(self, *, context: int, chunks: int) -> int:
        """How many tokens a file holds logits for."""
        return formula.value(self.scored, {"context": context, "vocabulary": 0, "chunks": chunks})
