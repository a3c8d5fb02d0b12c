"""Chat templates of strangers are shown, and run where they can do nothing."""

from __future__ import annotations

import pytest

from orchestrator.workflows.publishing import chat_prompt
from tests.support.publications import CHATML


def test_a_question_is_written_as_the_template_writes_it() -> None:
    assert chat_prompt.shown(CHATML, {}) == (
        "<|im_start|>system\n{system_prompt}<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n"
        "<|im_start|>assistant"
    )


def test_one_that_knows_no_system_message_gets_none() -> None:
    template = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
        "{{ raise_exception('no system') }}{% endif %}[{{ m.content }}]{% endfor %}"
    )
    assert chat_prompt.shown(template, {"bos_token": "<s>"}) == "<s>[{prompt}]"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ 'x' * 9999999999 }}",
        "{% for one in range(3000) %}x{% endfor %}",
        "{% broken",
        "{{ tools[0].name }}",
    ],
)
def test_a_hostile_or_broken_template_gives_nothing(template: str) -> None:
    assert chat_prompt.shown(template, {}) == ""
