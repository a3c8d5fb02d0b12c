"""Chat templates, sound and wrong ones, by llama.cpp's own engine and by transformers'."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from orchestrator.measures import chat_template
from orchestrator.planning.step_collector import verbs
from orchestrator.toolchain.load import load
from tests.support.model_files import KV, GGUFSpec, gguf_bytes
from tests.support.tasks import a_task
from tests.support.warm_store import ready

CHATML = """\
{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}\
{% for one in m.tool_calls or [] %}{{ one.function | tojson }}{% endfor %}{{ '<|im_end|>\\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
REFUSING = """\
{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
"""
SPECIAL = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
WORKS = {"refused": [], "different": [], "rewritten": [], "unknown": [], "doubled": "", "texts": 6}

Compare = Callable[..., Mapping[str, Any]]


def vocabulary(template: str, *, bos: bool) -> bytes:
    """A GGUF file with a small vocabulary and a chat template, and no weights."""
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [2, *[3] * (len(SPECIAL) - 1), *[6] * 256]
    fields = {
        "general.architecture": KV("str", "llama"),
        "tokenizer.ggml.model": KV("str", "llama"),
        "tokenizer.ggml.tokens": KV("arr", tokens, "str"),
        "tokenizer.ggml.scores": KV("arr", [0.0] * len(tokens), "f32"),
        "tokenizer.ggml.token_type": KV("arr", types, "i32"),
        "tokenizer.ggml.bos_token_id": KV("u32", 1),
        "tokenizer.ggml.eos_token_id": KV("u32", 2),
        "tokenizer.ggml.add_bos_token": KV("bool", int(bos)),
        "tokenizer.chat_template": KV("str", template),
    }
    return gguf_bytes(GGUFSpec(fields=fields))


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Compare a file's template with a source's, or with itself without one."""
    made = ready("llama.cpp", programs=["test-chat-template"])
    tools = {"toolchain": made["program"], "environment": made["environment"]}

    def work(template: str, source: str = "", *, bos: bool = False) -> Mapping[str, Any]:
        for name in ("model", "source/small"):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / "model.gguf").write_bytes(vocabulary(template, bos=bos))
        stated = {"chat_template": source, "bos_token": "<s>", "eos_token": {"content": "</s>"}}
        (tmp_path / "source/small/tokenizer_config.json").write_text(json.dumps(stated))
        inputs = {"model": tmp_path / "model", **tools}
        inputs |= {"original texts": tmp_path / "source"} if source else {}
        _, context = verbs(load("llama.cpp"), "render")
        task = a_task(Path(mkdtemp(dir=tmp_path)), {"file": "model.gguf"}, context, inputs)
        assert chat_template.MEASURE.work is not None
        return chat_template.MEASURE.work.run(task)

    return work


def test_a_sound_template_writes_the_same_texts(compare: Compare) -> None:
    found = compare(CHATML, CHATML)

    assert {name: found[name] for name in WORKS} == WORKS
    assert found["end"] == {"token": "<|im_end|>", "stops": True}


def test_a_wrong_template_is_told_with_the_first_place_that_differs(compare: Compare) -> None:
    found = compare(CHATML.replace("'<|im_end|>\\n'", "eos_token"), CHATML)

    assert len(found["different"]) == WORKS["texts"]
    assert found["different"][0] == {
        "case": "a question and an answer",
        "begun": False,
        "line": 2,
        "first": repr("|im_end|>\n<|im_start|>assistant\nIt is 12"),
        "second": repr("/s><|im_start|>assistant\nIt is 12 degree"),
    }
    assert found["end"] == {"token": "</s>", "stops": True}


def test_a_template_that_begins_a_text_as_the_vocabulary_does_doubles_its_first_token(
    compare: Compare,
) -> None:
    assert compare("{{ bos_token }}" + CHATML, bos=True)["doubled"] == "<s>"
    assert not compare("{{ bos_token }}" + CHATML)["doubled"]


def test_a_refusal_of_both_is_no_difference(compare: Compare) -> None:
    found = compare(REFUSING + CHATML)

    assert not found["different"]
    assert {one["why"] for one in found["refused"]} == {"System role not supported"}
    assert {one["case"] for one in found["refused"]} == {"a system message", "a tool call"}
    assert {one["case"] for one in found["rewritten"]} <= {"a system message", "a tool call"}


def test_a_refusal_of_one_alone_is(compare: Compare) -> None:
    found = compare(CHATML, REFUSING + CHATML)

    assert {one["case"] for one in found["different"]} == {"a system message", "a tool call"}
    assert found["different"][0]["first"] == "refuses: System role not supported"


def test_marks_without_a_token_and_turns_without_an_end_are_found(compare: Compare) -> None:
    found = compare(CHATML.replace("im_start", "begin").replace("'<|im_end|>\\n'", "'\\n'"))

    assert (found["unknown"], found["end"]) == (["<|begin|>"], {"token": "", "stops": False})
