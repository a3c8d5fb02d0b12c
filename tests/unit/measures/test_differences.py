"""Better and worse only beyond the error of the difference."""

from __future__ import annotations

import pytest

from orchestrator.measures import registry
from orchestrator.measures.differences import NONE_SEEN, difference

KLD = {"mean": 0.01, "mean_error": 0.001}
PERPLEXITY = {"value": 5.0, "error": 0.4, "increase": 0.02, "increase_error": 0.001}
SCORE = {"score": 0.7, "error": 0.01}


@pytest.mark.parametrize(
    ("measure", "number", "before", "after", "said"),
    [
        ("kld", "mean", KLD, {**KLD, "mean": 0.0127}, NONE_SEEN),
        ("kld", "mean", KLD, {**KLD, "mean": 0.0129}, "worse"),
        ("kld", "mean", KLD, {**KLD, "mean": 0.0071}, "better"),
        ("hellaswag", "score", SCORE, {**SCORE, "score": 0.75}, "better"),
        ("hellaswag", "score", SCORE, {**SCORE, "score": 0.65}, "worse"),
        # Not the large errors of two perplexities decide, but those of their pairs.
        ("perplexity", "value", PERPLEXITY, {**PERPLEXITY, "increase": 0.023}, "worse"),
        ("perplexity", "value", PERPLEXITY, {**PERPLEXITY, "increase": 0.022}, NONE_SEEN),
        ("perplexity", "value", PERPLEXITY, {"value": 5.1}, ""),
        ("kld", "mean", KLD, {"mean": 0.5}, ""),
        ("header", "size", {"size": 1}, {"size": 2}, ""),
    ],
)
def test_a_difference_counts_beyond_two_of_its_errors(
    measure: str,
    number: str,
    before: dict[str, float],
    after: dict[str, float],
    said: str,
) -> None:
    of = registry.named(measure)

    assert difference(of, of.number(number), before, after) == said
