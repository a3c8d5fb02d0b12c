"""The first rule that matches a tensor wins, so the order of rules is part of what is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.planning import recipe_to_steps
from orchestrator.planning.recipe_to_steps import Choices, Sources
from orchestrator.planning.resolved_source import Resolved
from orchestrator.toolchain import load
from tests.support.recipes import loaded

RECIPE = """\
name: x
family: llama
toolchain: llama.cpp
model: {{hub: a/b, revision: {commit}}}
quantize: [{{type: Q4_0, {options}}}]
"""


def made(folder: Path, options: str) -> tuple[str, str]:
    """The recipe's digest and the key of its file."""
    recipe = loaded(folder, RECIPE.format(commit="a" * 40, options=options))
    identity = {"kind": "hub", "repo": "a/b", "repo_type": "model", "commit": "a" * 40}
    chain = load.load("llama.cpp")
    sources = Sources(chain.source.commit, Resolved(identity, {}, "hf"))
    return recipe.digest, recipe_to_steps.make(recipe, chain, sources, Choices()).outputs[0].step


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "tensor_types: {attn_v: q8_0, 'blk.0': q6_K}",
            "tensor_types: {'blk.0': q6_K, attn_v: q8_0}",
        ),
        (
            "override_kv: {general.name: 'str:x', general.license: 'str:y'}",
            "override_kv: {general.license: 'str:y', general.name: 'str:x'}",
        ),
    ],
)
def test_another_order_is_another_file(tmp_path: Path, one: str, other: str) -> None:
    first, second = made(tmp_path, one), made(tmp_path, other)

    assert first[0] != second[0]
    assert first[1] != second[1]
    assert made(tmp_path, one) == first
