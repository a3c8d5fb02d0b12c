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
        (
            {"type": "table", "keys": {"a": "text", "b": "texts", "c": "int", "d": "tables"}},
            [{"a": "x"}, {"b": ("x",), "c": 1}, {"d": [{"name": "x"}]}],
            [{}, "a", None, {"e": "x"}, {"a": 1}, {"b": "x"}, {"c": 1.5}, {"d": [1]}],
        ),
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


def test_a_key_that_a_table_may_not_have_is_named_with_the_nearest() -> None:
    option = Option(type="table", keys={"general.author": "text"}, about="x")

    assert option.problem({"author": "Me"}) == (
        "there is no key 'author'; did you mean 'general.author'?"
    )
    assert option.problem({"general.author": 1}).startswith("general.author must be text")


def test_the_schema_of_a_table_lists_its_keys() -> None:
    keys: Any = {"a": "text", "b": "texts", "c": "int"}
    found = Option(type="table", keys=keys, about="x").json_schema()["anyOf"][0]

    assert found["additionalProperties"] is False
    assert found["properties"]["b"] == {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
    }


@pytest.mark.parametrize("wrong", [{"type": "table"}, {"type": "int", "keys": {"a": "text"}}])
def test_only_a_table_has_keys(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="has keys if, and only if"):
        Option(about="x", **wrong)


@pytest.mark.parametrize("wrong", [{"choices": ["a"]}, {"type": "int", "pattern": "1"}])
def test_only_text_is_limited(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="only an option of type text"):
        Option(about="x", **wrong)
