"""Modelfiles: chat templates in Ollama's words, or the honest word that there is none."""

from __future__ import annotations

import re

import pytest

from orchestrator.workflows.publishing.ollama_modelfile import (
    BOS,
    EOS,
    FORMATS,
    Model,
    modelfile,
    recognize,
)
from tests.support.publications import CHATML

LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA2 = (
    "{% set ns = namespace(s='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{% set ns.s = '<<SYS>>\n' + m['content'] + '\n<</SYS>>\n\n' %}{% elif m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + ns.s + m['content'] + ' [/INST]' }}{% set ns.s = '' %}"
    "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else "
    "m['role']) + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}\n{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token }}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
DEFAULT = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are Q.<|im_end|>\n"


@pytest.mark.parametrize(
    ("template", "name", "system"),
    [
        (CHATML, "ChatML", True),
        (LLAMA3, "Llama 3", True),
        (LLAMA2, "Llama 2", True),
        (GEMMA, "Gemma", False),
        (ZEPHYR, "Zephyr", True),
    ],
)
def test_well_known_templates_are_known_by_what_they_write(
    template: str, name: str, system: bool
) -> None:
    found = recognize(template, starts=True)
    assert found is not None
    assert (found.format.name, found.system) == (name, system)


@pytest.mark.parametrize(
    "template",
    [
        CHATML.replace("<|im_end|>\\n'", "<|im_end|>'"),
        CHATML.replace("<|im_start|>assistant", "<|im_start|>bot"),
        "{{ messages[0]['content'] }}",
        "{% if %}",
        "{{ raise_exception('never') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% for i in range(10 ** 9) %}{{ i }}{% endfor %}",
        "{{ messages[7]['content'] }}{{ 1 / 0 }}",
    ],
)
def test_others_are_not_even_when_they_are_near_or_hostile(template: str) -> None:
    assert recognize(template, starts=True) is None
    text = modelfile(Model("x.gguf", template, "<s>", "</s>", True, "mit", "x"))
    assert "No TEMPLATE" in text
    assert not re.search(r"^TEMPLATE", text, re.MULTILINE)


def test_a_start_token_that_nobody_adds_is_not_dropped() -> None:
    assert recognize(LLAMA3, starts=False) is None


def test_the_system_message_that_a_template_adds_becomes_the_default() -> None:
    found = recognize(DEFAULT + "{% endif %}" + CHATML, starts=False)
    assert found is not None
    assert found.format.default == "You are Q."
    text = modelfile(Model("x.gguf", DEFAULT + "{% endif %}" + CHATML, "", "", False, "", "x"))
    assert 'SYSTEM """You are Q."""' in text


def test_the_modelfile_has_the_template_and_what_ends_an_answer() -> None:
    text = modelfile(Model("x.gguf", LLAMA2, "<s>", "</s>", True, "llama2", "About it"))
    assert text.startswith("# About it\nFROM ./x.gguf\n")
    assert 'PARAMETER stop "[INST]"' in text
    assert 'LICENSE """llama2"""' in text
    assert " </s><s>{{ end }}" in text
    assert BOS not in text
    assert EOS not in text


@pytest.mark.parametrize("eos", ['</s>"\nADAPTER ./evil', '"', "{{ .System }}", "a\\", "a\nb"])
def test_a_token_that_is_more_than_text_to_ollama_gives_no_template(eos: str) -> None:
    text = modelfile(Model("x.gguf", LLAMA2, "<s>", eos, True, "", "x"))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == ["FROM ./x.gguf"]


def test_a_model_without_a_template_says_so() -> None:
    text = modelfile(Model("x.gguf", "", "<s>", "</s>", True, "", "About\nit"))
    assert text.splitlines()[:2] == ["# About it", "FROM ./x.gguf"]
    assert "has no chat template" in text
    assert 'TEMPLATE "' not in text


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_the_go_template_is_balanced_and_knows_every_role(form: object) -> None:
    text = form.go("<s>", "</s>")  # type: ignore[attr-defined]
    opened = len(re.findall(r"\{\{ (?:range|if) ", text))
    assert opened == text.count("{{ end }}")
    assert all(f'eq .Role "{role}"' in text for role in ("system", "user", "assistant"))
