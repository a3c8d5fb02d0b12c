"""Numbers out of tools' output: only finite ones are believed."""

from __future__ import annotations

import pytest

from orchestrator.base.errors import StepError
from orchestrator.toolchain.output_numbers import number, optional


@pytest.mark.parametrize("text", ["nan", "-nan", "inf", "", "1.2.3", "one"])
def test_what_is_no_finite_number_is_none_or_an_error(text: str) -> None:
    assert optional({"mean_kld": text}, "mean_kld") is None
    with pytest.raises(StepError, match="x: the tool printed no mean kld that is a number"):
        number({"mean_kld": text}, "mean_kld", "x")


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(StepError, match="no perplexity"):
        number({}, "perplexity", "x")


def test_numbers_are_read() -> None:
    assert number({"a": "-1.5"}, "a", "x") == -1.5
    assert optional({"a": "0"}, "a") == 0
