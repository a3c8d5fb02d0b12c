"""A recipe that says all that there is to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.recipe.models import Recipe
from orchestrator.recipe.verify_section import Verify
from tests.support.recipes import loaded

SHA = "ab" * 32

EVERYTHING = f"""\
name: full-1.0
family: bloomz
description: All of it
toolchain: {{name: llama.cpp, commit: 0c1e570, backend: cuda, profile: native}}
model:
  base: {{hub: a/b, revision: main, format: hf}}
  delta: {{url: "https://example.org/d.bin", sha256: {SHA}}}
  method: delta
convert: {{outtype: f32, tokenizer_pre: bloom, model_name: Full}}
imatrix: {{corpus: text.txt, chunks: 3, context: 64}}
quantize:
  - q4_k
  - type: Q4_0
    name: small
    imatrix: true
    pure: true
    leave_output_tensor: true
    output_tensor_type: Q8_0
    token_embedding_type: q6_k
    tensor_types: {{"blk\\\\.1.*attn_v": q8_0}}
    override_kv:
      {{general.name: "str:small", a.b: "int:-3", c: "float:1e-5", d: "bool:true"}}
    allow_requantize: true
    allow_fallback: true
    limits: {{max_size: 4G}}
runtime: {{norm_eps: 0.00001, gqa: 8, context: 2048}}
verify:
  smoke: {{prompt: Hello, expect: "wor(ld|d)", tokens: 4}}
  perplexity: {{corpus: {{path: text.txt}}, context: 128, chunks: 2}}
  kld: true
  speed: false
  limits: {{max_ppl_increase: 8%, min_same_top: 0.9, max_mean_kld: 1, max_size: 3.9 GiB}}
  sha256: {{f32: {SHA}, SMALL: {SHA.upper()}}}
  reference:
    {{source: "https://example.org/", perplexity: {{Q4_0: 6.1}}, size: {{Q4_0: 1 MB}}}}
publish: {{license: MIT, redistribute: true, to: "hub:org/x", languages: en}}
alarms: {{bytes: same-tensors, perplexity: 2%, kld: 0.2, size: false}}
published: [{{type: Q4_0}}]
"""


@pytest.fixture
def full(tmp_path: Path) -> Recipe:
    """A recipe that says all that there is to say."""
    (tmp_path / "text.txt").write_text("x")
    return loaded(tmp_path, EVERYTHING)


def test_everything_that_a_recipe_can_say_of_what_is_made(full: Recipe) -> None:
    first, second = full.quantize
    assert (first.type, first.name) == ("Q4_K_M", "Q4_K_M")
    assert (second.type, second.name) == ("Q4_0", "small")
    assert (second.output_tensor_type, second.token_embedding_type) == ("q8_0", "q6_k")
    assert second.override_kv["a.b"] == "int:-3"
    assert full.model.kind == "merge"
    assert full.model.delta is not None
    assert full.model.delta.kind == "url"


def test_everything_that_a_recipe_can_say_of_texts_checks_and_publishing(
    full: Recipe, tmp_path: Path
) -> None:
    first, second = full.quantize
    assert full.imatrix is not None
    assert full.imatrix.corpus is not None
    assert full.imatrix.corpus.path == tmp_path / "text.txt"
    assert full.verify.perplexity is not None
    assert full.verify.perplexity.corpus.path == tmp_path / "text.txt"
    assert full.verify.speed is None
    assert full.verify.limits.max_ppl_increase == 0.08
    assert full.verify.limits.max_size == round(3.9 * 2**30)
    assert full.verify.sha256 == {"F32": SHA, "small": SHA}
    assert full.limits_for(first).max_size == round(3.9 * 2**30)
    own = full.limits_for(second)
    assert (own.max_size, own.max_ppl_increase) == (4_000_000_000, 0.08)
    told = {"bytes": "same-tensors", "perplexity": 0.02, "kld": 0.2, "size": None}
    usual = {"speed": 0.2, "embedding": 0.001}
    assert full.alarms.model_dump() == {**told, **usual}
    assert (full.publish.license, full.publish.to) == ("mit", "hub:org/x")
    assert full.publish.languages == ("en",)


def test_a_copy_of_what_is_checked_has_the_sections_of_its_own_values() -> None:
    verify = Verify.model_validate({"context_memory": False, "kld": False})
    assert "context_memory" not in verify.sections
    wanted = Verify.model_validate({"context_memory": {"context": 99}}).context_memory
    copied = verify.model_copy(update={"context_memory": wanted})
    assert copied.sections["context_memory"] == {"context": 99}
    assert "context_memory" not in verify.sections
