"""JSON of others: a value, or one kind of error."""

from __future__ import annotations

import json
import math

import pytest

from orchestrator.base import json_text


def test_values_are_read() -> None:
    told = {"a": [1, 2.5, None, True, "é\n"], "b": {}}

    assert json_text.parse(json.dumps(told).encode()) == told
    assert json_text.parse(b"\xef\xbb\xbf[1e3]") == [1000.0]
    assert json_text.parse(rb'["\ud83d\ude00"]') == ["\N{GRINNING FACE}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "Expecting value"),
        (b"{'a': 1}", "Expecting property name"),
        (b'["\xff"]', "can't decode"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"9" * 10_000, "4300 digits"),
        (b"[1e999]", "1e999 is not a finite number"),
        (b"[NaN]", "NaN is not a finite number"),
        (b"-Infinity", "-Infinity is not a finite number"),
        (rb'{"\ud800": 1}', "surrogates not allowed"),
        (rb'["\uDFFF"]', "surrogates not allowed"),
    ],
)
def test_all_else_is_one_kind_of_error(text: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        json_text.parse(text)


def test_configurations_may_hold_numbers_that_are_not_finite() -> None:
    found = json_text.parse(b"[NaN, Infinity, 1e999]", finite=False)

    assert list(map(math.isfinite, found)) == [False, False, False]


@pytest.mark.parametrize(
    "spelling", ["1e999", "-1E999", "1e+400", "1" * 400 + ".0", "3.0e0500", "NaN", "-Infinity"]
)
def test_what_is_not_finite_is_found_however_it_is_spelled(spelling: str) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        json_text.parse(f'{{"a": [1.5, {spelling}]}}'.encode())


def test_words_and_large_numbers_that_are_finite_are_read() -> None:
    assert json_text.parse(b'["NaN", 1e308, 2.5e-400]') == ["NaN", 1e308, 0.0]
