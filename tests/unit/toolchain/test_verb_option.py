"""Options of verbs: which values they take, and what their schema says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.toolchain.verb_option import Option


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ({}, [True, False], [1, "true", None, []]),
        ({"type": "int"}, [0, -3], [True, 1.5, "1", None]),
        ({"type": "number"}, [0, 1.5], [True, "1", float("nan"), float("inf")]),
        ({"type": "text"}, ["", "a"], [1, True, ["a"]]),
        ({"type": "text", "choices": ["a", "b"]}, ["a"], ["c", "A", 1]),
        ({"type": "text", "pattern": "[a-z]+"}, ["ab"], ["", "a1", "ab\n", "--a"]),
        ({"type": "texts"}, [["a"], ("a", "b")], ["a", [], [1], True, None]),
        ({"type": "texts", "choices": ["a"]}, [["a"]], [["a", "b"]]),
    ],
)
def test_values_are_checked(option: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    made = Option(about="x", **option)

    assert not [value for value in good if made.problem(value)]
    assert not [value for value in bad if not made.problem(value)]


def test_the_schema_says_the_same() -> None:
    schema = Option(type="text", choices=("a", "b"), pattern="[ab]", about="which").json_schema()

    assert schema["description"] == "which"
    assert {"type": "null"} in schema["anyOf"]
    assert schema["anyOf"][0] == {"type": "string", "enum": ["a", "b"], "pattern": "^(?:[ab])$"}


@pytest.mark.parametrize("wrong", [{"choices": ["a"]}, {"type": "int", "pattern": "1"}])
def test_only_text_is_limited(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="only an option of type text"):
        Option(about="x", **wrong)
