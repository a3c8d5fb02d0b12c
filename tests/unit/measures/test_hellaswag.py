"""HellaSwag's score, out of what llama-perplexity printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.measures.check_status import Status
from orchestrator.runs.judge_measures import Expectation, judge
from tests.support.measure_outputs import taken
from tests.support.measures import measured

PRINTED = """\
0.00.095.947 I hellaswag_score : calculating hellaswag score over selected tasks.

task\tacc_norm\t95% confidence interval
7\t14.28571429%\t[2.5680%, 51.3128%]
8\t25.00000000%\t[7.1479%, 59.0725%]
"""


def test_the_score_and_its_interval_are_read(tmp_path: Path) -> None:
    facts = taken(tmp_path, "hellaswag", PRINTED, tasks=8)

    assert (facts["score"], facts["tasks"]) == (0.25, 8)
    assert (facts["low"], facts["high"]) == pytest.approx((0.071479, 0.590725))


@pytest.mark.parametrize(("least", "status"), [(0.25, Status.PASS), (0.26, Status.FAIL)])
def test_a_score_is_held_against_its_limit(tmp_path: Path, least: float, status: Status) -> None:
    facts = measured(hellaswag=taken(tmp_path, "hellaswag", PRINTED, tasks=8))
    expected = Expectation(limits={"min_hellaswag": least}, asked={"hellaswag": {}})
    [check] = [one for one in judge(facts, expected) if one.name == "hellaswag"]

    assert check.status is status
    assert "25.00 % of 8 tasks (95 % interval: 7.15 to 59.07 %)" in check.message


def test_a_text_of_another_shape_is_one_sentence(tmp_path: Path) -> None:
    printed = "0.00.100.017 E hellaswag_score : number of lines in prompt not a multiple of 6."
    with pytest.raises(StepError, match="the tasks cannot be read: number of lines in prompt"):
        taken(tmp_path, "hellaswag", printed, tasks=None)
