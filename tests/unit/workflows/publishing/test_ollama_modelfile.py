"""Modelfiles: the file, and what the model's generation_config.json states, safely quoted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.workflows.publishing.ollama_modelfile import (
    Model,
    modelfile,
    stop_texts,
    stop_tokens,
)


def written(generation: dict[str, Any], *stops: str, license: str = "") -> list[str]:
    """The lines of a Modelfile after its comment and FROM."""
    text = modelfile(Model("x.gguf", generation, stops, license, "About\nit"))
    first, second, *rest = text.splitlines()
    assert (first, second) == ("# About it", "FROM ./x.gguf")
    return rest


def test_numbers_of_the_source_become_parameters() -> None:
    config = {
        **{"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20},
        **{"repetition_penalty": 1.05, "transformers_version": "4"},
    }
    assert written(config) == [
        "PARAMETER temperature 0.6",
        "PARAMETER top_p 0.95",
        "PARAMETER top_k 20",
        "PARAMETER repeat_penalty 1.05",
    ]


def test_a_model_that_does_not_sample_has_no_numbers_for_it() -> None:
    config = {"do_sample": False, "temperature": 0.6, "top_k": 50, "repetition_penalty": 1.1}
    assert written(config) == ["PARAMETER repeat_penalty 1.1"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", '1\nADAPTER "./evil"'),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", True),
        ("temperature", None),
        ("top_p", 1.5),
        ("top_p", -0.1),
        ("top_k", 2.5),
        ("top_k", 2**31),
        ("repetition_penalty", [1.1]),
    ],
)
def test_what_is_no_sensible_number_is_left_out(key: str, value: object) -> None:
    assert written({key: value}) == []


def test_each_stop_is_written_once() -> None:
    assert written({}, "</s>", "<|im_end|>", "</s>") == [
        'PARAMETER stop "</s>"',
        'PARAMETER stop "<|im_end|>"',
    ]


@pytest.mark.parametrize("stop", ['</s>"\nADAPTER ./evil', '"', "", "a\\", "a\nb", "\x1b[0m"])
def test_a_stop_that_is_more_than_text_to_ollama_is_left_out(stop: str) -> None:
    assert written({}, stop) == []


@given(st.text(), st.text())
def test_no_text_of_strangers_adds_a_line(stop: str, about: str) -> None:
    text = modelfile(Model("x.gguf", {}, [stop], "mit", about))
    lines = text.removesuffix("\n").split("\n")
    assert lines[0].startswith("# ")
    assert lines[1] == "FROM ./x.gguf"
    assert [one.partition(" ")[0] for one in lines[2:]] in (["LICENSE"], ["PARAMETER", "LICENSE"])


def test_what_a_terminal_would_obey_is_visible_in_a_modelfile() -> None:
    model = Model("a.gguf", {}, ("\x1b[2J",), "MIT\x1b]0;x\x07\nline", "about \u202e it")
    text = modelfile(model)
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == 4
    assert r"about \u202e it" in text


def test_a_licence_cannot_end_its_own_quotes() -> None:
    [line] = written({}, license='x""" y')
    assert line == 'LICENSE """x" " " y"""'


@pytest.mark.parametrize(
    ("stated", "numbers"),
    [(2, (2,)), ([2, 7], (2, 7)), (None, ()), (True, ()), (-1, ()), ([1, "2", None], (1,))],
)
def test_end_tokens_are_one_number_or_several(stated: object, numbers: tuple[int, ...]) -> None:
    assert stop_tokens({"eos_token_id": stated}) == numbers


def test_stop_strings_are_one_text_or_several() -> None:
    assert stop_texts({"stop_strings": "User:"}) == ("User:",)
    assert stop_texts({"stop_strings": ["User:", 3]}) == ("User:",)
    assert stop_texts({}) == ()
