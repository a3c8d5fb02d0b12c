"""Recipes of strangers: what is in them reaches no terminal raw."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Command

ESCAPE = r"\e[2J\e]0;title\a\u202e"


@pytest.mark.parametrize(
    "text",
    [
        f'"key{ESCAPE}": 1',
        f'name: "x{ESCAPE}"',
        f'toolchain: "x{ESCAPE}"',
        f'quantize: ["Q4_0{ESCAPE}"]',
        f'model: {{hub: "org/name{ESCAPE}"}}',
        f"name: !<tag:x{'%1B%5B2J'}> y",
        f"name: *{'a' * 3}\x85",
    ],
)
def test_errors_about_a_recipe_show_its_text_visibly(orchestrate: Command, text: str) -> None:
    Path("hostile.yaml").write_text(f"toolchain: llama.cpp\n{text}\n", "utf-8")

    said = orchestrate("plan", "hostile.yaml")

    assert said.code == 2
    assert (said.out + said.err).replace("\n", "").isprintable()


def test_a_path_is_shown_visibly(orchestrate: Command) -> None:
    said = orchestrate("plan", "no\x1b[2Jsuch\u202e.yaml")

    assert said.code == 2
    assert r"no\x1b[2Jsuch\u202e.yaml" in said.err
