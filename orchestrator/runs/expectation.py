"""What one file must be: its recipe's limits, and what is published about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reference:
    """Published numbers of one file; None where nothing was published.

    ``context`` and ``chunks`` say how the perplexity was measured (None: not stated, all).
    """

    source: str
    perplexity: float | None = None
    size: int | None = None
    bits_per_weight: float | None = None
    context: int | None = None
    chunks: int | None = None


@dataclass(frozen=True)
class Expectation:
    """What one file must be.

    Attributes:
        limits: Values of the recipe's ``limits`` that are set; empty for the full file.
        smoke: Regular expression to find in the continuation; empty: any text will do.
        allow_fallback: Whether tensors may have other types than the one asked for.
        fallbacks: What the quantizer said about such tensors: tensor, wanted, got.
        mix: Tensor types that belong to the file's type; empty when that is not known.
        sha256: The file's digest; empty when not known.
        expected_sha256: The digest it must have; empty when none is stated.
        reference: Published numbers.
        full_name: What the unquantized file is called.
        full_perplexity: Its perplexity on the same text.
        strict: False for stand-in models: limits that only hold for real weights are off.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    smoke: str = ""
    allow_fallback: bool = False
    fallbacks: Sequence[Mapping[str, str]] = ()
    mix: tuple[str, ...] = ()
    sha256: str = ""
    expected_sha256: str = ""
    reference: Reference | None = None
    full_name: str = "F16"
    full_perplexity: float | None = None
    strict: bool = True
