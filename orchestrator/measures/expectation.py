"""What one file must be: its recipe's limits, and what is published about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.base.step_values import JSON

# What the steps of one file found, by the names of their measures.
Facts = Mapping[str, Mapping[str, JSON]]


@dataclass(frozen=True)
class Reference:
    """Published numbers of one file by their keys, such as ``perplexity``.

    ``context`` and ``chunks`` say how the perplexity was measured (None: not stated, all).
    """

    source: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    context: int | None = None
    chunks: int | None = None


@dataclass(frozen=True)
class Earlier:
    """The perplexity of the same recipe's unquantized file in an earlier run, on the same text.

    ``when`` is that run's day; its file was made from other weights or in another way.
    """

    perplexity: float
    error: float | None
    when: str


@dataclass(frozen=True)
class Expectation:
    """What one file must be.

    Attributes:
        limits: Values of the recipe's ``limits`` that are set; empty for the full file.
        text_limits: Further values by the names of texts, which win there.
        asked: The sections under ``verify:`` that the recipe has, with their options.
        lacking: Measures that were asked for and that the tool chain cannot take.
        failed: Measures that were to be taken, and whose steps failed or were not run.
        allow_fallback: Whether tensors may have other types than the one asked for.
        fallbacks: What the quantizer said about such tensors: tensor, wanted, got.
        constant: Matrices of one value that were accepted when the file was made, as it was
            made for a stand-in model.
        mix: Tensor types that belong to the file's type; empty when that is not known.
        sha256: The file's digest; empty when not known.
        expected_sha256: The digest it must have; empty when none is stated.
        reference: Published numbers.
        full_name: What the unquantized file is called.
        full: The facts of the unquantized file; empty for that file itself.
        contradictions: Of the unquantized file: what it says otherwise than its source's
            configs, each with ``said`` and whether it is ``wrong`` beyond doubt.
        is_full: Whether it is the unquantized file itself.
        is_part: Whether it is a part of the model beside the text model: no program runs it alone.
        earlier: What an earlier run found of that file; None where there was none.
        strict: False for stand-in models: limits that only hold for real weights are off.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    text_limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    asked: Mapping[str, JSON] = field(default_factory=dict)
    lacking: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    allow_fallback: bool = False
    fallbacks: Sequence[Mapping[str, str]] = ()
    constant: Sequence[str] = ()
    mix: tuple[str, ...] = ()
    sha256: str = ""
    expected_sha256: str = ""
    reference: Reference | None = None
    full_name: str = "F16"
    full: Facts = field(default_factory=dict)
    contradictions: Sequence[Mapping[str, JSON]] = ()
    is_full: bool = False
    is_part: bool = False
    earlier: Earlier | None = None
    strict: bool = True
