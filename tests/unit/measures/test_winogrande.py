"""Winogrande's score, out of what llama-perplexity printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.measures.check_status import Status
from orchestrator.runs.judge_measures import Expectation, judge
from tests.support.measure_outputs import taken
from tests.support.measures import measured

FEW = """\
6\t50.0000\t -4.796331   -2.555823  2  2
7\t42.8571\t -4.796331   -2.555823  2  1
"""
MANY = """\
119\t49.5798\t -4.796331   -2.555823  2  1

0.01.285.695 I Final Winogrande score(119 tasks): 49.5798 +/- 4.6027
"""


@pytest.mark.parametrize(
    ("printed", "score", "tasks", "error"),
    [(FEW, 0.428571, 7, None), (MANY, 0.495798, 119, 0.046027)],
)
def test_the_score_is_read_and_its_error_where_it_is_printed(
    tmp_path: Path, printed: str, score: float, tasks: int, error: float | None
) -> None:
    facts = taken(tmp_path, "winogrande", printed, tasks=None)

    assert facts["score"] == pytest.approx(score)
    assert (facts["tasks"], facts["error"]) == (tasks, pytest.approx(error))


def test_a_score_is_held_against_its_limit(tmp_path: Path) -> None:
    facts = measured(winogrande=taken(tmp_path, "winogrande", MANY, tasks=None))
    expected = Expectation(limits={"min_winogrande": 0.5}, asked={"winogrande": {}})
    [check] = [one for one in judge(facts, expected) if one.name == "winogrande"]

    assert check.status is Status.FAIL
    assert check.message.startswith("49.58 % of 119 tasks ± 4.60 %, but at least 50 %")
