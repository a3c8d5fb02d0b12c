"""What a converted file predicts, held against what transformers predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.measures.check_status import Check, Status
from orchestrator.runs.judge_measures import Expectation, judge, numbers
from tests.support.measures import measured

SOUND: Mapping[str, Any] = {
    "tokens": 125,
    "mean": 3.4e-07,
    "max": 8e-06,
    "same_top": 1.0,
    "largest_change": 0.0017,
    "plain": None,
    "rare": None,
    "added": None,
}
ODD = {"text": " girl", "reference": [4, 5], "file": [4, 9]}


def checks(found: Mapping[str, Any] | None, **expected: Any) -> dict[str, Check]:
    judged = judge(measured(reference_logits=found), Expectation(**expected))
    return {one.name: one for one in judged if one.name.startswith("reference_")}


def test_a_sound_file_predicts_and_splits_text_as_transformers_does() -> None:
    found = checks(SOUND)

    assert {one.status for one in found.values()} == {Status.PASS}
    assert found["reference_logits"].message == (
        "mean KL divergence 3.4e-07 from transformers' own predictions on 125 tokens, "
        "same top 100.00 %"
    )
    told = numbers(measured(reference_logits=SOUND), Expectation())["reference_logits"]
    assert told == {"mean": 3.4e-07, "same_top": 1.0}


@pytest.mark.parametrize(("mean", "status"), [(0.01, Status.PASS), (0.0101, Status.FAIL)])
def test_predictions_may_differ_by_a_hundredth_and_no_more(mean: float, status: Status) -> None:
    assert checks({**SOUND, "mean": mean})["reference_logits"].status is status


@pytest.mark.parametrize(
    ("where", "status", "said"),
    [
        ("plain", Status.FAIL, "plain text is split into other tokens from ' girl' on: [4, 5] by"),
        ("rare", Status.WARN, "code, numbers or other scripts are split"),
        ("added", Status.WARN, "other tokens are put around a text"),
    ],
)
def test_other_tokens_are_told(where: str, status: Status, said: str) -> None:
    check = checks({**SOUND, where: ODD})["reference_tokens"]

    assert check.status is status
    assert check.message.startswith(said)


def test_quantized_files_and_recipes_that_do_not_ask_have_no_such_check() -> None:
    lacking = frozenset({"reference_logits"})
    assert checks(None, is_full=True) == {}
    assert checks(None, lacking=lacking) == {}
    assert checks(None, lacking=lacking, is_full=True)["reference_logits"].status is Status.SKIP


def test_a_reference_that_failed_fails_the_file() -> None:
    failed = checks(None, failed=frozenset({"reference_logits"}), is_full=True)
    assert failed["reference_logits"].status is Status.FAIL
