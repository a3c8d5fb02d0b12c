"""The section ``fit`` of a recipe: how a search found its files, and what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from orchestrator.recipe.field_types import Name, Number, Positive, QuantType
from orchestrator.recipe.source_fields import Frozen


class Against(Frozen):
    """A fitted file beside a standard type, both measured on the text of ``verify``."""

    standard: QuantType = Field(description="The standard type that it was held against.")
    tokens: Positive = Field(description="Tokens that were scored.")
    mean_kld: Number = Field(description="Mean KL divergence of the fitted file, in nats.")
    error: Number = Field(description="Its standard error.")
    standard_mean_kld: Number = Field(description="That of the standard type.")
    standard_error: Number = Field(description="Its standard error.")

    @property
    def sentence(self) -> str:
        """What may be said of the file: one text, so many tokens, nothing beyond them."""
        return (
            f"lower mean KL divergence than {self.standard} on the text of the verification: "
            f"{self.mean_kld:.5f} ± {self.error:.5f} against {self.standard_mean_kld:.5f} ± "
            f"{self.standard_error:.5f} ({self.tokens} tokens)"
        )


class Fit(Frozen):
    """Written by 'orchestrate fit'; it says where tensor types come from and changes no file."""

    text: str = Field(description="The text that was searched on, and its SHA-256.")
    chunks: Positive = Field(description="Pieces of that text.")
    context: Positive = Field(description="Tokens in each piece.")
    groups: Literal["role", "thirds of roles"] = Field(
        description="Tensors that got one type together."
    )
    files: Mapping[Name, Against] = Field(description="What was measured, by file.")
