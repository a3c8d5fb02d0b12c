"""What a chat template writes by llama.cpp, held against what transformers writes by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.measures.check_status import Check, Status
from orchestrator.runs.judge_measures import Expectation, judge
from tests.support.measures import measured

SOUND: Mapping[str, Any] = {
    "templates": ["default"],
    "missing": [],
    "where": "tokenizer_config.json",
    "texts": 6,
    "refused": [],
    "different": [],
    "rewritten": [],
    "unknown": [],
    "doubled": "",
    "end": {"token": "<|im_end|>", "stops": True},
}
SYSTEM = {"case": "a system message", "begun": True}
APART = {**SYSTEM, "line": 3, "first": "'a\\n'", "second": "'b'"}


def checks(found: Mapping[str, Any] | None, **expected: Any) -> dict[str, Check]:
    judged = judge(measured(chat_template=found), Expectation(**expected))
    return {one.name: one for one in judged if one.name.startswith("chat_")}


def test_a_sound_template_is_written_alike() -> None:
    found = checks(SOUND)

    assert {one.status for one in found.values()} == {Status.PASS}
    assert found["chat_template"].message == "6 texts alike by transformers and llama.cpp"


def test_the_first_place_where_texts_differ_is_named_and_fails() -> None:
    found = checks({**SOUND, "different": [APART]})["chat_template"]

    assert found.status is Status.FAIL
    assert found.message == (
        "1 of 6 texts differ: a system message with the next turn begun from line 3 on "
        "(transformers: 'a\\n'; llama.cpp: 'b')"
    )


def test_what_both_refuse_and_what_programs_do_otherwise_is_told_and_no_failure() -> None:
    refused = {**SYSTEM, "why": "no\n system"}
    found = checks({**SOUND, "refused": [refused], "rewritten": [APART]})["chat_template"]

    assert found.status is Status.PASS
    assert "both refuse a system message with the next turn begun (no system)" in found.message
    assert "llama.cpp's programs write otherwise a system message" in found.message


def test_a_template_that_writes_nothing_fails() -> None:
    refused = [{**SYSTEM, "why": "unexpected end of template"}]
    found = checks({**SOUND, "texts": 1, "refused": refused})["chat_template"]

    assert (found.status, found.message) == (
        Status.FAIL,
        "the template writes no text: unexpected end of template",
    )


def test_a_template_that_only_the_source_has_fails() -> None:
    lacking = {"templates": [], "missing": ["default"], "where": "chat_template.jinja"}
    found = checks(lacking)

    assert found["chat_template"].status is Status.FAIL
    assert "which its source has in chat_template.jinja" in found["chat_template"].message
    assert "chat_tokens" not in found


def test_a_model_without_a_template_has_nothing_to_compare() -> None:
    found = checks({"templates": [], "missing": [], "where": ""})

    assert found["chat_template"].status is Status.SKIP


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"doubled": "<s>"}, "add_bos_token: false"),
        ({"end": {"token": "", "stops": False}}, "nothing ends the model's turn"),
        ({"end": {"token": "<|end|>", "stops": False}}, "<|end|>, at which llama.cpp does not"),
        ({"unknown": ["<|im_start|>"]}, "no token <|im_start|>"),
    ],
)
def test_odd_special_tokens_are_warned_of(odd: Mapping[str, Any], said: str) -> None:
    found = checks({**SOUND, **odd})["chat_tokens"]

    assert found.status is Status.WARN
    assert said in found.message


def test_only_the_converted_file_is_spoken_of() -> None:
    lacking = frozenset({"chat_template"})

    assert not checks(None, lacking=lacking)
    assert checks(None, lacking=lacking, is_full=True)["chat_template"].status is Status.SKIP
