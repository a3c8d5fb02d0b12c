"""Errors that users meet: what they say, and that what they quote does not make them endless."""

from __future__ import annotations

import pickle

from orchestrator.base.errors import StepError


def test_what_is_quoted_makes_no_line_without_end() -> None:
    error = StepError(f"m.json: {'a' * 5000} is odd\nsecond", "Fetch it again.")

    first, second, hint = str(error).split("\n")
    assert first.startswith("m.json: aaa")
    assert first.endswith("aaa is odd")
    assert len(first) < 1000
    assert (second, hint) == ("second", "  Fetch it again.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_usual_sentence_stays_as_it_is() -> None:
    assert str(StepError("a" * 1000)) == "a" * 1000
