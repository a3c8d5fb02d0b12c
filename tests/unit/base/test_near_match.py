"""Suggestions for words that are not known."""

from __future__ import annotations

from orchestrator.base.near_match import near


def test_the_nearest_known_word_is_suggested_whatever_its_case() -> None:
    assert near("q4km", ["Q4_K_M", "Q8_0"]) == "; did you mean 'Q4_K_M'?"
    assert near("zebra", ["Q4_K_M"]) == ""
