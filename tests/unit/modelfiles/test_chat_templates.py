"""Chat templates of files and of the models that they were made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.chat_templates import of_file, of_source, require_same, special_tokens
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.model_files import KV


def config(folder: Path, template: object) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    return folder


def test_a_text_in_the_tokenizers_configuration(tmp_path: Path) -> None:
    assert of_source(config(tmp_path, "{{ x }}")) == (
        {"default": "{{ x }}"},
        "tokenizer_config.json",
    )


def test_named_templates_get_the_names_that_the_converter_gives_them(tmp_path: Path) -> None:
    listed = [{"name": "default", "template": "a"}, {"name": "tool-use", "template": "b"}]
    found, _ = of_source(config(tmp_path, listed))
    assert found == {"default": "a", "tool_use": "b"}


def test_a_file_of_its_own_wins(tmp_path: Path) -> None:
    config(tmp_path, "old")
    (tmp_path / "chat_template.jinja").write_text("new\n")
    more = tmp_path / "additional_chat_templates"
    more.mkdir()
    (more / "rag.jinja").write_text("more")
    assert of_source(tmp_path) == ({"default": "new\n", "rag": "more"}, "chat_template.jinja")


def test_a_model_without_any(tmp_path: Path) -> None:
    assert of_source(tmp_path) == ({}, "")
    assert of_source(config(tmp_path, None)) == ({}, "")


@pytest.mark.parametrize("told", [5, [1], [{"name": "x"}], {"x": 1}])
def test_what_is_no_template_is_refused(tmp_path: Path, told: object) -> None:
    with pytest.raises(StepError, match="neither a text nor a list"):
        of_source(config(tmp_path, told))


def test_all_templates_of_a_file_are_read(tmp_path: Path) -> None:
    fields = {
        "tokenizer.chat_templates": KV("arr", ["rag"], "str"),
        "tokenizer.chat_template.rag": KV("str", "more"),
        "tokenizer.chat_template": KV("str", "a"),
    }
    path = write_gguf(tmp_path / "x.gguf", Model(fields=fields))
    assert of_file(gguf.read(path)) == {"default": "a", "rag": "more"}


def test_equal_ones_and_none_at_all_pass() -> None:
    require_same("x.gguf", {}, {}, "")
    require_same("x.gguf", {"default": "a"}, {"default": "a"}, "chat_template.jinja")


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ({"default": "a\nb"}, {"default": "a\nc"}, r"differ from line 2 on: 'b', not 'c'"),
        ({"default": "a"}, {"default": "a\n"}, "is not that of the model"),
        ({}, {"default": "a"}, "is missing, the model has one in where"),
        ({"default": "a"}, {}, "the model it was made from has none"),
        ({"default": "a"}, {"default": "a", "rag": "b"}, "chat template 'rag' is missing"),
    ],
)
def test_any_difference_is_refused(ours: dict[str, str], theirs: dict[str, str], why: str) -> None:
    with pytest.raises(StepError, match=why):
        require_same("x.gguf", ours, theirs, "where")


def test_special_tokens_are_those_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "<a>", "pad_token": "<p>"}')
    (tmp_path / "tokenizer_config.json").write_text(
        '{"bos_token": {"content": "<s>"}, "eos_token": null, "add_bos_token": true}'
    )

    found = special_tokens(tmp_path)

    assert found == {"bos_token": "<s>", "eos_token": None, "pad_token": "<p>"}
