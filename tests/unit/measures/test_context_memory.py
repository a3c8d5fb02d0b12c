"""Memory with a context, out of what llama-fit-params printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.measures.check_status import Status
from orchestrator.runs.judge_measures import Expectation, judge
from tests.support.measure_outputs import taken
from tests.support.measures import measured

MIB = 1 << 20
PRINTED = """\
0.00.002.202 I llama_fit_params: printing estimated memory in MiB to stdout (device, model, ...
CUDA0 1200 180 98
Host 56 0 14
"""


def test_devices_are_added_and_what_was_rounded_off_is_too(tmp_path: Path) -> None:
    facts = taken(tmp_path, "context_memory", PRINTED, context=8192)
    assert facts == {
        "total": (1201 + 181 + 99 + 57 + 1 + 15) * MIB,
        "model": (1201 + 57) * MIB,
        "context": 182 * MIB,
        "compute": (99 + 15) * MIB,
        "tokens": 8192,
    }


def test_no_device_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="the tool printed no device's memory"):
        taken(tmp_path, "context_memory", "llama_fit_params: nothing", context=8192)


def test_the_memory_is_held_against_its_limit(tmp_path: Path) -> None:
    facts = measured(context_memory=taken(tmp_path, "context_memory", PRINTED, context=8192))
    expected = Expectation(limits={"max_context_memory": 10**9}, asked={"context_memory": {}})
    [check] = [one for one in judge(facts, expected) if one.name == "context_memory"]
    assert check.status is Status.FAIL
    assert "1.63 GB at 8192 tokens" in check.message
    assert "at most 1.00 GB" in check.message
