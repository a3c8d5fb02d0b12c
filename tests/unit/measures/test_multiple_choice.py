"""The score of multiple choice, out of what llama-perplexity printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.measures.check_status import Status
from orchestrator.runs.judge_measures import Expectation, judge
from tests.support.measure_outputs import taken
from tests.support.measures import measured

PRINTED = """\
7\t42.85714286
8\t37.50000000

0.00.221.171 I Final result: 37.5000 +/- 18.2981
0.00.221.203 I Random chance: 33.3333 +/- 17.8174
"""


def test_the_score_and_its_error_are_read(tmp_path: Path) -> None:
    facts = taken(tmp_path, "multiple_choice", PRINTED, tasks=8)

    assert (facts["score"], facts["tasks"]) == (0.375, 8)
    assert facts["error"] == pytest.approx(0.182981)


def test_a_score_is_held_against_its_limit(tmp_path: Path) -> None:
    facts = measured(multiple_choice=taken(tmp_path, "multiple_choice", PRINTED, tasks=8))
    expected = Expectation(limits={"min_multiple_choice": 0.4}, asked={"multiple_choice": {}})
    [check] = [one for one in judge(facts, expected) if one.name == "multiple_choice"]

    assert check.status is Status.FAIL
    assert check.message.startswith("37.50 % of 8 tasks ± 18.30 %, but at least 40 %")


def test_more_answers_than_the_tool_takes_are_one_sentence(tmp_path: Path) -> None:
    printed = (
        "0.00.039.265 E multiple_choice_score : task 0 requires a higher -np|--parallel value "
        "(at least 17)"
    )
    with pytest.raises(StepError, match="the tasks cannot be read: task 0 requires a higher"):
        taken(tmp_path, "multiple_choice", printed, tasks=None)
