"""Texts of strangers in a recipe: read back as they were, or left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import StepError
from orchestrator.recipe import Document
from orchestrator.recipe.extends import read_tree
from orchestrator.runs import load_and_plan
from orchestrator.toolchain import draft_policy, load
from orchestrator.workflows.drafting import (
    decide_draft,
    drafted_recipe,
    licence_of_card,
    model_config,
    recipe_yaml,
)
from orchestrator.workflows.drafting.decide_draft import Wanted, recipe_name
from orchestrator.workflows.drafting.survey_findings import Found, Weights
from tests.support.hub_models import COMMIT

CHAIN = load.load("llama.cpp")
WEIGHTS = Weights("safetensors", 1, 100, 50, True, "f16", (576,))
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))  # NUL is refused
CARDS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("license", "license_name", "license_link"), ANY)
)


def found(**fields: Any) -> Found:
    plain = {
        **{"repo": "org/name", "commit": COMMIT, "asked": "main", "file": ""},
        **{"architecture": "LlamaForCausalLM", "family": "llama", "silent": False, "encodes": ""},
        **{"chat": True, "code": True, "quantized": "fp8", "vocabulary": 10, "weights": WEIGHTS},
        "licence": licence_of_card.read({}, "org/name", COMMIT, gated=False),
    }
    return Found(**{**plain, **fields})


def text(one: Found) -> str:
    draft = decide_draft.draft(one, Wanted(), CHAIN, draft_policy.load(CHAIN.folder))
    return drafted_recipe.recipe(draft, "2026-01-31")


@given(TEXT, TEXT)
@example("😀 O'Brien", "true")
@example("n" * 2000, "é")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_loader_reads_any_text_back_as_it_was(tmp_path: Path, name: str, value: str) -> None:
    path = tmp_path / "x.yaml"
    shown = recipe_yaml.mapping({"a": {f"x{name}": value, "flag": True}}, 0)

    path.write_text(f"{shown}\nc: {recipe_yaml.quoted(value)}\n", encoding="utf-8")

    assert "\n" not in recipe_yaml.quoted(value)
    assert read_tree(path).data == {"a": {f"x{name}": value, "flag": True}, "c": value}


@given(st.text())
def test_a_comment_stays_one_line(value: str) -> None:
    shown = recipe_yaml.line(value)

    assert len(shown) <= 200
    assert yaml.safe_load(f"# {shown}\na: 1\n") == {"a": 1}


@given(CARDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_card_breaks_or_changes_a_recipe(tmp_path: Path, card: dict[str, Any]) -> None:
    terms = licence_of_card.read(card, "org/name", COMMIT, gated=False)
    path = tmp_path / "x.yaml"

    path.write_text(text(found(licence=terms)), encoding="utf-8")

    [recipe] = load_and_plan.load([path])
    stated = yaml.safe_load(path.read_text("utf-8")).get("publish", {})
    assert stated.keys() <= {"license", "license_name", "license_link", "redistribute"}
    assert (recipe.publish.redistribute is True) == terms.free
    assert stated.get("license_name", "") == terms.name


@given(st.text(), st.text(min_size=1), st.text())
def test_no_name_breaks_a_recipe(asked: str, architecture: str, method: str) -> None:
    shown = text(found(asked=asked, architecture=architecture, quantized=method))

    plain = yaml.safe_load(text(found(asked=asked, architecture="x", quantized="x")))
    assert yaml.safe_load(shown) == plain


@pytest.mark.parametrize(
    ("repo", "name"),
    [("a/Qwen2.5-0.5B", "qwen2.5-0.5b"), ("a/X-GGUF", "x"), ("a/_", "model"), ("a/-é x", "x")],
)
def test_a_recipe_is_called_like_the_repository(repo: str, name: str) -> None:
    assert recipe_name(repo) == name


@given(st.text())
def test_every_repository_has_a_name_for_its_recipe(name: str) -> None:
    assert is_accepted(recipe_name(f"org/{name}"))


def is_accepted(name: str) -> bool:
    head = {"name": name, "family": "llama", "toolchain": {"name": "llama.cpp"}}
    model = {"hub": "a/b", "revision": "main"}
    return Document.model_validate({**head, "model": model, "quantize": ()}).name == name


KEYS = ("architectures", "model_type", "text_config", "vocab_size", "hidden_size", "dtype")


@given(st.dictionaries(st.sampled_from(KEYS), ANY | st.dictionaries(st.sampled_from(KEYS), ANY)))
def test_no_configuration_breaks_the_reader(content: dict[str, Any]) -> None:
    read = model_config.read(json.dumps(content).encode(), "org/name")

    assert all(one.isprintable() for one in (*read.architectures, read.model_type))
    assert all(row > 0 for row in read.rows)


@given(st.binary())
def test_bytes_that_are_no_configuration_are_told(content: bytes) -> None:
    with pytest.raises(StepError, match="is not a JSON object"):
        model_config.read(b"[" + content, "org/name")


@pytest.mark.parametrize(
    "odd",
    [
        {"architectures": "LlamaForCausalLM", "text_config": [], "vocab_size": "7"},
        {"architectures": [["x"]], "auto_map": 1, "quantization_config": "gptq"},
        {"hidden_size": -1, "intermediate_size": True, "torch_dtype": {}, "vocab_size": 1e99},
    ],
)
def test_values_of_the_wrong_kind_are_not_known(odd: dict[str, Any]) -> None:
    found_ = model_config.read(json.dumps(odd).encode(), "org/name")

    assert found_ == model_config.Config((), "", "", (), 0, False, "")


@pytest.mark.parametrize("name", load.names())
def test_policies_name_types_that_their_tool_chain_knows(name: str) -> None:
    chain = load.load(name)
    stated = draft_policy.load(chain.folder)
    chosen = {kind for one in stated.types for kind in one.types}

    assert chosen | set(stated.calibrated) <= chain.types.keys()
    assert set(stated.rows) <= chain.types.keys() | {"Q4_2", "Q4_3", "Q4_1"}
    bits = [one.bits for one in stated.limits]
    assert bits == sorted(bits, reverse=True)
    assert all(chain.types[kind].imatrix != "required" for kind in chosen)
