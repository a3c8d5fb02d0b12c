"""Chat templates by llama.cpp's own engine and by transformers', and headers that are changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.measures import chat_template
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.comparing.compare import compare as compare_files
from orchestrator.modelfiles.comparing.comparison import Verdict
from orchestrator.planning.step_collector import verbs
from orchestrator.steps import rewrite_header
from orchestrator.toolchain.load import load
from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_bytes
from tests.support.tasks import a_task
from tests.support.tool_chain_tasks import NORM
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


def vocabulary(template: str, *, bos: bool, tensors: Sequence[Tensor] = ()) -> bytes:
    """A GGUF file with a small vocabulary and a chat template, usually without weights."""
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
    return gguf_bytes(GGUFSpec(fields=fields, tensors=tensors))


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


HEADER: Mapping[str, Any] = {"set": {}, "remove": [], "special_tokens": {}}


@pytest.fixture
def rewrite(tmp_path: Path) -> Callable[..., tuple[Mapping[str, Any], Path]]:
    """Change the header of a file with a tensor of odd length."""
    made = ready("llama.cpp")
    tools = {"toolchain": made["build"], "environment": made["environment"]}

    def work(template: str = "", **changes: Any) -> tuple[Mapping[str, Any], Path]:
        (tmp_path / "model").mkdir(exist_ok=True)
        whole = vocabulary(CHATML, bos=True, tensors=(Tensor("w", (96, 5), "Q8_0"), NORM))
        (tmp_path / "model" / "model.gguf").write_bytes(whole)
        inputs = {"model": tmp_path / "model", **tools}
        if template:
            (tmp_path / "template").mkdir()
            (tmp_path / "template" / "t.jinja").write_text(template, "utf-8")
            inputs["template"] = tmp_path / "template"
        _, context = verbs(load("llama.cpp"), "rewrite_header")
        task = a_task(tmp_path / "task", {"file": "new.gguf", **HEADER, **changes}, context, inputs)
        return rewrite_header.run(task), task.workdir / "new.gguf"

    return work


def test_headers_are_changed_and_tensors_are_not(
    rewrite: Callable[..., tuple[Mapping[str, Any], Path]], tmp_path: Path
) -> None:
    values = {"tokenizer.ggml.add_bos_token": False, "general.tags": ["a", "ü"]}
    facts, made = rewrite(
        "{{ x }}\n",
        set=values,
        remove=["tokenizer.ggml.scores"],
        special_tokens={"eot": "<|im_end|>", "eos": 3},
    )

    assert facts["changed"] == {
        "general.tags": "added",
        "tokenizer.chat_template": "changed",
        "tokenizer.ggml.add_bos_token": "changed",
        "tokenizer.ggml.eos_token_id": "changed",
        "tokenizer.ggml.eot_token_id": "added",
        "tokenizer.ggml.scores": "removed",
    }
    found = compare_files(tmp_path / "model" / "model.gguf", made, values=False)
    assert found.verdict is Verdict.SAME_TENSORS
    said = gguf.read(made).metadata
    assert said["tokenizer.chat_template"] == "{{ x }}\n"
    assert (said["tokenizer.ggml.eot_token_id"], said["tokenizer.ggml.eos_token_id"]) == (4, 3)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"remove": ["general.name"]}, "the file has no such key"),
        ({"remove": ["general.architecture"]}, "cannot be removed"),
        ({"special_tokens": {"eos": "<|nothing|>"}}, "is not in the vocabulary of 261 tokens"),
        ({"special_tokens": {"eos": 261}}, "is not in the vocabulary of 261 tokens"),
        ({"special_tokens": {"nose": 1}}, "there is no special token 'nose', only bos, eos"),
        ({"set": {"general.nam": "x"}}, "neither in the file nor a key that llama.cpp knows"),
        ({"set": {"tokenizer.ggml.add_bos_token": 1}}, "is bool, which 1 is not"),
        ({"set": {"tokenizer.ggml.scores": ["a"]}}, "is a list of numbers"),
    ],
)
def test_what_no_header_can_say_is_refused(
    rewrite: Callable[..., Any], changes: Mapping[str, Any], why: str
) -> None:
    with pytest.raises(StepError, match=why):
        rewrite(**changes)
