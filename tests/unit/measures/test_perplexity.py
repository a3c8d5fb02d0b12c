"""Perplexities that no sound file has: held against what is stated, was found, or can be."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.expectation import Earlier
from orchestrator.runs.judge_measures import Expectation, judge
from tests.support.measures import MEASURES, measured

EARLIER = Earlier(5.0, 0.1, "2026-11-20")


def checks(
    value: float, expected: float | None = None, vocabulary: int | None = None, **rest: Any
) -> dict[str, Check]:
    found = {**MEASURES["perplexity"], "value": value, "vocabulary": vocabulary}
    asked = {"perplexity": {"expected": expected}}
    wanted = Expectation(**{"asked": asked, "is_full": True, **rest})
    return {one.name: one for one in judge(measured(perplexity=found, kld=None), wanted)}


@pytest.mark.parametrize(
    ("value", "status"),
    [(5.24, Status.PASS), (4.76, Status.PASS), (5.26, Status.FAIL), (4.74, Status.FAIL)],
)
def test_the_unquantized_file_is_held_against_what_the_recipe_expects(
    value: float, status: Status
) -> None:
    check = checks(value, expected=5.0)["perplexity_expected"]

    assert check.status is status
    off = f"perplexity {value:.4f}, {(value / 5 - 1) * 100:+.2f} % off the expected 5"
    assert check.message.startswith(off)


def test_quantized_files_have_limits_of_their_own() -> None:
    assert "perplexity_expected" not in checks(9.0, expected=5.0, is_full=False)


def test_a_perplexity_that_rose_beyond_its_error_is_a_warning() -> None:
    check = checks(5.11, earlier=EARLIER)["perplexity_earlier"]

    assert check.status is Status.WARN
    said = "perplexity 5.1100, but 5.0000 ± 0.1000 in the run of 2026-11-20, whose file was made"
    assert check.message.startswith(said)


@pytest.mark.parametrize(
    ("value", "expected"), [(5.09, None), (1.0, None), (5.11, 5.1)], ids=["near", "better", "known"]
)
def test_what_is_near_better_or_stated_is_none(value: float, expected: float | None) -> None:
    assert "perplexity_earlier" not in checks(value, expected, earlier=EARLIER)


@pytest.mark.parametrize(
    ("value", "vocabulary", "said"),
    [
        (1001, 32000, "beyond 1000: worse than a model that knows only how often each token"),
        (1001, None, "beyond 1000"),
        (769, 768, "beyond 768: worse than a model that guesses blindly"),
    ],
)
def test_a_perplexity_that_no_model_of_language_has_is_a_warning(
    value: float, vocabulary: int | None, said: str
) -> None:
    check = checks(value, vocabulary=vocabulary)["perplexity_bound"]

    assert check.status is Status.WARN
    assert check.message.startswith(f"perplexity {value:.4f}, {said}")


def test_below_the_bound_nothing_is_said_nor_of_stand_ins() -> None:
    assert "perplexity_bound" not in checks(1000, vocabulary=32000)
    assert not {"perplexity_bound", "perplexity_expected"} & set(checks(5e4, 5.0, strict=False))
