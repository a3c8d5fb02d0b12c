"""The story grammar, the corpora made from it, and the committed tiny models."""

from __future__ import annotations

import ast
import json
import math
import random
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))

from tinymodels import checker, corpora, dialogues, grammar, words

TINY = Path(__file__).resolve().parents[3] / "recipes" / "tiny"
MODELS = TINY / "models"
SAFETENSORS_MODELS = ("llama", "bloom", "falcon", "chatglm")
TOKENIZER_FILES = {"tokenizer_config.json", "special_tokens_map.json"}
COMMON = TOKENIZER_FILES | {"config.json", "generation_config.json", "model.safetensors"}
FILES = {
    "llama": COMMON | {"tokenizer.model"},
    "bloom": COMMON | {"tokenizer.json"},
    "falcon": COMMON | {"tokenizer.json", "configuration_falcon.py", "modeling_falcon.py"},
    "chatglm": COMMON | {"tokenizer.json"},
    "chimera/delta": TOKENIZER_FILES
    | {
        "added_tokens.json",
        "config.json",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
        "pytorch_model.bin.index.json",
        "tokenizer.model",
    },
}
MEGABYTE = 1_000_000


def read_json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def safetensors_header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    assert isinstance(header, dict)
    header.pop("__metadata__", None)
    return header


@given(st.integers(min_value=0))
def test_a_seed_always_gives_the_same_stories(seed: int) -> None:
    assert grammar.corpus(seed, 2000) == grammar.corpus(seed, 2000)


def test_another_seed_gives_other_stories() -> None:
    assert grammar.corpus(1, 2000) != grammar.corpus(2, 2000)


def test_the_grammar_does_not_touch_the_shared_random_source() -> None:
    random.seed(7)
    state = random.getstate()
    grammar.corpus(1, 2000)
    assert random.getstate() == state


@given(st.integers(min_value=0))
def test_every_story_is_read_back_without_an_error(seed: int) -> None:
    assert checker.errors(grammar.Writer(seed).story()) == []


GOOD = (
    "There once was a brave boy called Tom. He had a red kite and he liked it very much. "
    "One day he met an orange owl in the park. The owl was hungry because it had no berries."
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("He had", "She had"),
        ("boy", "girl"),
        ("an orange", "a orange"),
        ("a red", "an red"),
        ("and he liked", "and she liked"),
        ("The owl", "The fox"),
        ("berries", "grapes"),
        ("day he met", "day she met"),
        ("very much", "very"),
        ("park", "kite"),
    ],
)
def test_the_checker_sees_what_is_wrong(old: str, new: str) -> None:
    assert checker.errors(GOOD) == []
    assert len(checker.errors(GOOD.replace(old, new, 1))) >= 1


def test_a_few_hundred_words_are_in_use() -> None:
    text = corpora.committed_text("perplexity.txt")
    assert 300 <= len(set(text.replace(".", " ").replace(",", " ").split())) <= 900


def test_every_template_and_every_word_can_be_written() -> None:
    text = grammar.corpus(9, 400_000)
    for slot, choices in words.SLOTS.items():
        assert [word for word in choices if word not in text] == [], slot


def test_every_template_ends_a_sentence_once() -> None:
    stages: list[tuple[str, ...]] = [stage for pair in words.TROUBLES for stage in pair]
    stages += [words.OPENING, words.HABIT, words.MEETING, words.TALK, words.THANKS, words.ENDING]
    for template in (template for stage in stages for template in stage):
        assert template.endswith(".")
        assert template.count(".") == 1


@pytest.mark.parametrize("name", sorted(corpora.COMMITTED))
def test_a_corpus_file_is_what_the_grammar_writes(name: str) -> None:
    data = (TINY / "corpus" / name).read_bytes()
    assert data == corpora.committed_text(name).encode("ascii")
    assert 60_000 <= len(data) <= 100_000


def test_no_corpus_file_is_left_over_or_missing(tmp_path: Path) -> None:
    corpora.write_corpora(tmp_path / "corpus")
    written = {path.name for path in (tmp_path / "corpus").iterdir()}
    assert written == {path.name for path in (TINY / "corpus").iterdir()}


def test_held_out_stories_were_not_trained_on() -> None:
    trained = set(corpora.training_documents())
    for name in corpora.COMMITTED:
        held_out = corpora.committed_text(name).splitlines(keepends=True)
        assert trained.isdisjoint(held_out)


def test_the_facts_agree_with_the_grammar() -> None:
    facts = dialogues.facts()
    assert facts["Is Lily a girl or a boy?"] == "Lily is a girl."
    assert facts["What does an owl like to eat?"] == "An owl likes to eat berries."
    asked = [(q, a) for q, a in dialogues.pairs(500) if not q.startswith("Tell")]
    assert len(asked) > 300
    assert [(q, a) for q, a in asked if facts[q] != a] == []


def test_each_food_is_liked_by_one_animal() -> None:
    assert len(set(words.FOODS.values())) == len(words.FOODS)


@pytest.mark.parametrize("model", sorted(FILES))
def test_a_model_folder_holds_its_files_and_no_others(model: str) -> None:
    files = {path.name for path in (MODELS / model).iterdir()}
    assert files == FILES[model]


def test_no_other_file_is_among_the_models() -> None:
    known = {MODELS / model / name for model, names in FILES.items() for name in names}
    known |= {MODELS / "lora" / f"adapter_{name}" for name in ("config.json", "model.safetensors")}
    assert {path for path in MODELS.rglob("*") if path.is_file()} == known


def test_all_models_stay_under_twenty_megabytes() -> None:
    sizes = {path: path.stat().st_size for path in MODELS.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 20 * MEGABYTE
    llama = [size for path, size in sizes.items() if path.parent == MODELS / "llama"]
    assert sum(llama) <= 5 * MEGABYTE


@pytest.mark.parametrize("model", SAFETENSORS_MODELS)
def test_weights_are_f16_and_fit_the_file(model: str) -> None:
    path = MODELS / model / "model.safetensors"
    header = safetensors_header(path)
    assert {tensor["dtype"] for tensor in header.values()} == {"F16"}
    sizes = [2 * math.prod(tensor["shape"]) for tensor in header.values()]
    assert path.stat().st_size - sum(sizes) < 16_384
    matrices = [t["shape"] for t in header.values() if len(t["shape"]) == 2]
    assert [shape for shape in matrices if shape[-1] % 256] == [], "k-quants need rows of 256"


@pytest.mark.parametrize("model", sorted(FILES))
def test_hidden_size_is_256(model: str) -> None:
    assert read_json(MODELS / model / "config.json")["hidden_size"] == 256


def test_llama_is_what_old_converters_can_read() -> None:
    config = read_json(MODELS / "llama" / "config.json")
    assert config["intermediate_size"] == 768
    assert config["max_position_embeddings"] >= 512
    assert config["tie_word_embeddings"] is False
    header = safetensors_header(MODELS / "llama" / "model.safetensors")
    assert header["lm_head.weight"]["shape"] == [config["vocab_size"], 256]


def test_falcon_has_one_key_and_value_head() -> None:
    config = read_json(MODELS / "falcon" / "config.json")
    assert config["num_kv_heads"] == 1
    assert config["multi_query"] is True
    assert config["new_decoder_architecture"] is False


@pytest.mark.parametrize("name", ["configuration_falcon.py", "modeling_falcon.py"])
def test_code_in_a_model_folder_only_raises(name: str) -> None:
    tree = ast.parse((MODELS / "falcon" / name).read_text(encoding="ascii"))
    assert [type(node) for node in tree.body] == [ast.Expr, ast.Raise]


@pytest.mark.parametrize("model", ["bloom", "chatglm"])
def test_the_context_length_is_stated(model: str) -> None:
    assert read_json(MODELS / model / "config.json")["seq_length"] == 512


def test_chatglm_has_the_tokens_that_converters_ask_for() -> None:
    tokenizer = read_json(MODELS / "chatglm" / "tokenizer.json")
    added = {token["content"] for token in tokenizer["added_tokens"]}
    assert {"<|endoftext|>", "<|user|>", "<|assistant|>", "[gMASK]", "<sop>"} <= added


@pytest.mark.parametrize("model", ["bloom", "falcon", "chatglm"])
def test_token_ids_stay_inside_the_vocabulary(model: str) -> None:
    tokenizer = read_json(MODELS / model / "tokenizer.json")
    ids = set(tokenizer["model"]["vocab"].values())
    ids |= {token["id"] for token in tokenizer["added_tokens"]}
    assert ids == set(range(len(ids)))
    assert len(ids) <= read_json(MODELS / model / "config.json")["vocab_size"]


def test_the_delta_has_one_more_row_than_its_base() -> None:
    delta = MODELS / "chimera" / "delta"
    base = read_json(MODELS / "llama" / "config.json")["vocab_size"]
    assert read_json(delta / "config.json")["vocab_size"] == base + 1
    assert read_json(delta / "added_tokens.json") == {"<pad>": base}


def test_the_delta_names_the_tensors_of_its_base() -> None:
    index = read_json(MODELS / "chimera" / "delta" / "pytorch_model.bin.index.json")
    header = safetensors_header(MODELS / "llama" / "model.safetensors")
    assert set(index["weight_map"]) == set(header)
    rows = 2 * 2 * 256  # a row of both embeddings, two bytes a value
    sizes = [2 * math.prod(tensor["shape"]) for tensor in header.values()]
    assert index["metadata"]["total_size"] == sum(sizes) + rows


def test_the_delta_has_the_tokenizer_of_its_base() -> None:
    delta = (MODELS / "chimera" / "delta" / "tokenizer.model").read_bytes()
    assert delta == (MODELS / "llama" / "tokenizer.model").read_bytes()
