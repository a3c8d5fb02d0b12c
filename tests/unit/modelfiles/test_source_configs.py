"""What a converted file says otherwise than the configs of the model it was made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.modelfiles.source_configs import Contradiction, contradictions
from tests.support.gguf_headers import llama_header
from tests.support.model_files import KV

EOS = "tokenizer.ggml.eos_token_id"
BOS = "tokenizer.ggml.add_bos_token"
TEMPLATE = "tokenizer.chat_template"
SOUND: dict[str, KV | None] = {
    "tokenizer.ggml.tokens": KV("arr", ["a", "<s>", "</s>", "<|end|>"], "str"),
    EOS: KV("u32", 2),
    BOS: KV("bool", True),
    TEMPLATE: KV("str", "{{ x }}<|end|>"),
}
CONFIGS: dict[str, dict[str, Any]] = {
    "config": {"eos_token_id": 2, "max_position_embeddings": 512},
    "generation_config": {"eos_token_id": [2, 3]},
    "tokenizer_config": {
        "eos_token": {"content": "</s>"},
        "add_bos_token": True,
        "chat_template": "{{ x }}<|end|>",
    },
}
GONE = dict.fromkeys(CONFIGS)


def found(
    folder: Path, fields: Mapping[str, KV | None] | None = None, **changes: dict[str, Any] | None
) -> list[Contradiction]:
    """Contradictions of a header with these fields and configs that are changed, or None."""
    for name in (*CONFIGS, "tokenizer"):
        change = changes.get(name, {} if name in CONFIGS else None)
        path = folder / f"{name}.json"
        path.unlink(missing_ok=True)
        if change is not None:
            path.write_text(json.dumps({**CONFIGS.get(name, {}), **change}))
    return list(contradictions(folder, llama_header(folder, {**SOUND, **(fields or {})})))


def test_a_sound_file_agrees_with_its_source(tmp_path: Path) -> None:
    assert found(tmp_path) == []


def test_a_source_that_states_nothing_is_not_contradicted(tmp_path: Path) -> None:
    assert found(tmp_path, {TEMPLATE: None}, **GONE) == []


def test_an_end_token_that_no_config_states_is_wrong(tmp_path: Path) -> None:
    [one] = found(tmp_path, {EOS: KV("u32", 1)})

    assert (one.key, one.wrong) == (EOS, True)
    assert one.said == (
        "the file's end token is 1 ('<s>'), but generation_config.json says 2 ('</s>'), "
        "3 ('<|end|>'); tokenizer_config.json says 2 ('</s>'); config.json says 2 ('</s>')"
    )


def test_one_that_some_state_is_told(tmp_path: Path) -> None:
    [one] = found(tmp_path, {EOS: KV("u32", 0)}, config={"eos_token_id": 0})

    assert (one.key, one.wrong) == (EOS, False)


def test_the_part_that_generates_text_may_state_it(tmp_path: Path) -> None:
    inner = {"eos_token_id": None, "text_config": {"eos_token_id": 3}}
    silent = {"generation_config": None, "tokenizer_config": {"eos_token": None}}
    assert found(tmp_path, {EOS: KV("u32", 3)}, config=inner, **silent) == []


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (False, "the file does not add a token before each text, the source's tokenizer does"),
        (True, "the file adds a token before each text, the source's tokenizer does not"),
    ],
)
def test_a_begin_of_text_that_is_added_by_one_only_is_told(
    tmp_path: Path, ours: bool, said: str
) -> None:
    [one] = found(tmp_path, {BOS: KV("bool", ours)}, tokenizer_config={"add_bos_token": not ours})
    assert one == Contradiction(BOS, said)


def test_the_tokenizers_own_template_of_a_text_counts_too(tmp_path: Path) -> None:
    special, text = {"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}
    template = {"type": "TemplateProcessing", "single": [special, text]}
    processor = {"post_processor": {"processors": [{"type": "ByteLevel"}, template]}}
    silent = {"add_bos_token": False}

    assert found(tmp_path, tokenizer_config=silent, tokenizer=processor) == []


@pytest.mark.parametrize(
    ("stated", "said"),
    [(2048, ["the file has 512 positions, config.json says 2048"]), (512, []), (None, [])],
)
def test_another_context_is_told(tmp_path: Path, stated: int | None, said: list[str]) -> None:
    told = found(tmp_path, config={"max_position_embeddings": stated})
    assert [one.said for one in told] == said


def test_a_context_of_next_to_nothing_is_told(tmp_path: Path) -> None:
    few = {"llama.context_length": KV("u32", 8)}
    [one] = found(tmp_path, few, config={"max_position_embeddings": 8})
    assert one.said == "the file has 8 positions, too few for any use"


def test_another_template_is_wrong_and_an_added_one_is_told(tmp_path: Path) -> None:
    [other] = found(tmp_path, {TEMPLATE: KV("str", "{{ y }}")})
    assert (other.key, other.wrong) == (TEMPLATE, True)
    assert other.said.startswith("the file's chat template is not that of the model (tokenizer_con")

    [added] = found(tmp_path, tokenizer_config={"chat_template": None})
    assert (added.key, added.wrong) == (TEMPLATE, False)


def test_a_template_with_another_models_tokens_is_told(tmp_path: Path) -> None:
    text = "<|im_start|>{{ x }}<|end|>"
    [one] = found(tmp_path, {TEMPLATE: KV("str", text)}, tokenizer_config={"chat_template": text})
    assert one == Contradiction(
        TEMPLATE, "its chat template writes <|im_start|>, which the vocabulary does not have"
    )


_OF_ANOTHER_SHAPE: list[Any] = [1, None, "x", [], {}, [1], [[1]], {"content": []}, True]


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("tokenizer_config", lambda odd: {"eos_token": odd, "add_bos_token": odd}),
        ("config", lambda odd: {"eos_token_id": odd, "text_config": odd, "n_ctx": odd}),
        ("tokenizer", lambda odd: {"post_processor": odd}),
        ("tokenizer", lambda odd: {"post_processor": {"processors": odd}}),
        (
            "tokenizer",
            lambda odd: {"post_processor": {"type": "TemplateProcessing", "single": odd}},
        ),
    ],
)
def test_configs_of_another_shape_state_nothing(
    tmp_path: Path, name: str, around: Callable[[Any], dict[str, Any]]
) -> None:
    for odd in _OF_ANOTHER_SHAPE:
        said = [one.key for one in found(tmp_path, **{name: around(odd)})]
        assert set(said) <= {EOS, BOS}, odd


@pytest.mark.parametrize(("last", "wrong"), [(-1000.0, [True]), (-1.0, [])])
def test_parts_of_words_that_all_have_one_score_are_wrong(
    tmp_path: Path, last: float, wrong: list[bool]
) -> None:
    """Converters without SentencePiece's own file write -1000 for each (LlamaHfVocab)."""
    scores = KV("arr", [*[-1000.0] * 99, last], "f32")

    told = found(tmp_path, {"tokenizer.ggml.scores": scores})

    assert [one.wrong for one in told] == wrong
    assert all("put the tokenizer.model" in one.said for one in told)
