"""Formulas of whole numbers: what they give, and that they are nothing else."""

from __future__ import annotations

import pytest

from orchestrator.toolchain import formula


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", 7), ("a", 5), ("a - 1 - a // 2", 2), ("2 * ((a + 1) // 2) + b", 9), ("b * a * 2", 30)],
)
def test_a_formula_is_computed(text: str, expected: int) -> None:
    assert formula.value(text, {"a": 5, "b": 3}) == expected


@pytest.mark.parametrize(
    "text",
    ["", "a +", "c", "a ** 2", "a / 2", "1.5", "True", "a if b else 1", "f(a)", "a.b", "1 // 0"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no formula of a, b"):
        formula.value(text, {"a": 5, "b": 3})
    with pytest.raises(ValueError, match="is no formula"):
        formula.checked("a", "b")(text)
