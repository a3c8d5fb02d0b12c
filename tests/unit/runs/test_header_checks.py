"""What a header shows of a recipe that does not fit its model, before a weight is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError, UsageError
from orchestrator.runs import header_checks
from orchestrator.runs.session import choices
from orchestrator.toolchain import families
from tests.support.gguf_headers import llama_header
from tests.support.model_files import KV
from tests.support.plans import RECIPE, SEES, make_chain, make_plan


def objection(
    folder: Path,
    text: str = RECIPE,
    fields: Mapping[str, KV | None] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    *,
    verify: bool = True,
) -> Exception | None:
    header = llama_header(folder, fields, shapes)
    return header_checks.objection(make_plan(folder, text), header, choices(verify=verify))


def with_rules(rules: str) -> str:
    return RECIPE.replace("[Q4_0, ", f"[{{type: Q4_0, tensor_types: {rules}}}, ")


def test_a_recipe_that_fits_its_model_is_accepted(tmp_path: Path) -> None:
    assert objection(tmp_path) is None
    assert objection(tmp_path, with_rules("{attn_v: q8_0, attn: q5_0}")) is None


def test_a_model_without_one_of_its_layers_is_refused(tmp_path: Path) -> None:
    found = objection(tmp_path, fields={"llama.block_count": KV("u32", 3)})

    assert isinstance(found, StepError)
    assert "says 3 layers, the weights have 2" in found.message


def test_a_context_beyond_the_models_is_refused(tmp_path: Path) -> None:
    short = {"llama.context_length": KV("u32", 64)}

    found = objection(tmp_path, fields=short)

    assert isinstance(found, UsageError)
    assert "verify.perplexity.context is 128, the model has 64 positions" in found.message
    assert "imatrix.context is 512" in found.message
    assert "perplexity" not in str(objection(tmp_path, fields=short, verify=False))


def test_speed_is_not_measured_beyond_learned_positions(tmp_path: Path) -> None:
    short = {"llama.context_length": KV("u32", 64)}
    learned = {"position_embd.weight": (64, 64)}

    assert "verify.speed.prompt is 512" in str(objection(tmp_path, fields=short, shapes=learned))
    assert "verify.speed" not in str(objection(tmp_path, fields=short))


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ("{blk.7.attn_qq: q8_0}", "'blk.7.attn_qq' matches no matrix of the model; did you mean"),
        ("{attn_norm: q8_0}", "'attn_norm' matches no matrix"),
        ("{attn: q5_0, attn_v: q8_0}", "'attn_v' decides about no tensor, since 'attn' before it"),
    ],
)
def test_a_rule_without_effect_is_refused(tmp_path: Path, rules: str, sentence: str) -> None:
    found = objection(tmp_path, with_rules(rules))

    assert isinstance(found, UsageError)
    assert sentence in found.message


EOS = "tokenizer.ggml.eos_token_id"
WRONG = {"key": EOS, "said": "the file's end token is 1", "wrong": True}
ODD = {"key": "tokenizer.ggml.add_bos_token", "said": "no token is added", "wrong": False}


def test_what_is_wrong_beyond_doubt_is_refused_unless_a_type_overrides_it(tmp_path: Path) -> None:
    def found(text: str, *contradictions: Mapping[str, Any], **chosen: Any) -> Exception | None:
        header, picked = llama_header(tmp_path), replace(choices(), **chosen)
        return header_checks.objection(make_plan(tmp_path, text), header, picked, contradictions)

    known = RECIPE.replace("[Q4_0, ", f"[{{type: Q4_0, override_kv: {{{EOS}: int:2}}}}, ")

    refused = found(RECIPE, ODD, WRONG)
    assert isinstance(refused, StepError)
    assert refused.message == "small: the file's end token is 1"
    assert f"'override_kv: {{{EOS}: ...}}'" in refused.hint
    assert found(RECIPE, ODD) is None
    assert found(known, WRONG) is None
    assert found(RECIPE, WRONG, stand_in=True) is None


def test_text_measures_of_an_encoder_are_refused_with_what_fits(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    (plan.chain.folder / "families.yaml").write_text("encoders: [bert]\nalso: [bert]\n")
    families.load.cache_clear()
    header = llama_header(tmp_path, {"general.architecture": KV("str", "bert")}, None)

    found = header_checks.objection(plan, header, choices())

    assert isinstance(found, UsageError)
    assert "continue no text, which verify.smoke and verify.perplexity and imatrix ask for" in (
        found.message
    )
    assert "embeddings are measured instead" in found.hint


@pytest.mark.parametrize(("name", "sense"), [("image", "vision"), ("audio", "audio")])
def test_a_part_is_not_asked_about_what_it_does_not_take(
    tmp_path: Path, name: str, sense: str
) -> None:
    asked = f"  {name}: {{prompt: What?, expect: red}}\n"
    text = RECIPE.replace("quantize:", "mmproj: {outtype: f16}\nquantize:") + asked
    plan = make_plan(tmp_path, text, chain=make_chain(tmp_path, text=SEES))
    header, other = llama_header(tmp_path), "audio" if sense == "vision" else "vision"
    for has, picked, refused in (
        (other, choices(), True),
        (other, choices(verify=False), False),
        (sense, choices(), False),
    ):
        part = llama_header(tmp_path, {f"clip.has_{has}_encoder": KV("bool", True)})
        found = header_checks.objection(plan, header, picked, (), {"mmproj": part})
        assert (found is not None) == refused
        if found is not None:
            assert f"'verify.{name}' needs a model whose mmproj has" in str(found)
            assert f"Remove {name!r}" in str(found.hint)
