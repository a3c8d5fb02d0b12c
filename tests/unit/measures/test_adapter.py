"""An adapter's file is tried with the unquantized one, and what that writes is judged."""

from __future__ import annotations

from pathlib import Path

from orchestrator.measures import adapter
from orchestrator.measures.check_status import Status
from orchestrator.measures.expectation import Expectation
from tests.support.tool_chain_tasks import task_of, tool, whole

WRITES = """
model, given = Path(args[0]), Path(args[1])
assert model.is_file() and given.is_file()
print(args[2], "the bear")
"""


def test_the_tool_gets_the_adapter_beside_the_file_and_the_prompt_is_taken_off(
    tmp_path: Path,
) -> None:
    verbs = {"complete_adapted": tool(WRITES, "{input}", "{adapter}", "{prompt}")}
    inputs = {"model": whole(tmp_path / "model"), "adapter": whole(tmp_path / "adapter")}
    params = {"file": "model.gguf", "prompt": "Who?", "tokens": 8, "expect": "bear"}

    work = adapter.MEASURE.work
    assert work is not None
    found = work.run(task_of(tmp_path / "t", verbs, inputs, params))

    assert found == {"text": "the bear", "expect": "bear"}


def test_a_text_without_what_is_expected_fails_and_other_files_are_not_spoken_of() -> None:
    for text, status in (("the bear", Status.PASS), ("seven", Status.FAIL), ("", Status.FAIL)):
        facts = {"with_adapter": {"text": text, "expect": "bear"}}
        [check] = adapter.MEASURE.judge(adapter.MEASURE, facts, Expectation(is_part=True))
        assert (check.name, check.status) == ("with_adapter", status)
    assert not list(adapter.MEASURE.judge(adapter.MEASURE, {}, Expectation()))
