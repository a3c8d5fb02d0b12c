"""The search for the options that explain a file's types, against a quantizer of our own."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.toolchain.search_type_options import Options, explain
from orchestrator.toolchain.tensor_patterns import matches, rules

LAYERS = 4
PARTS = ("attn_q", "attn_k", "attn_v", "attn_qkv", "ffn_down", "ffn_up")
NAMES = (
    "token_embd.weight",
    "output.weight",
    *(f"blk.{layer}.{part}.weight" for layer in range(LAYERS) for part in PARTS),
)
KINDS = ("Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16")


def quantizer(options: Options) -> dict[str, str]:
    """A mixture with counters: rules that win over it shift the layers after them."""
    types: dict[str, str] = {}
    counted = 0
    for name in NAMES:
        told = [kind for rule, kind in options.tensor_types.items() if matches(rule, name)]
        if name == "output.weight":
            types[name] = (options.output_tensor_type or "q6_k").upper()
        elif name == "token_embd.weight":
            types[name] = (options.token_embedding_type or "q4_k").upper()
        elif told:
            types[name] = told[0].upper()
        elif options.pure or "attn_v" not in name:
            types[name] = "Q4_K"
        else:
            types[name] = "Q6_K" if counted % 3 == 2 else "Q4_K"
            counted += 1
    return types


def explained(wanted: Mapping[str, str]) -> Options:
    found = explain(wanted, quantizer)
    assert found.unexplained == ()
    assert quantizer(found.options) == wanted
    return found.options


def test_a_plain_mixture_needs_no_options() -> None:
    assert explained(quantizer(Options())) == Options()


def test_output_and_embedding_types_are_said_as_such() -> None:
    told = Options(output_tensor_type="q8_0", token_embedding_type="q5_k")

    assert explained(quantizer(told)) == told


def test_pure_is_one_word() -> None:
    told = Options(pure=True, output_tensor_type="q8_0")

    assert explained(quantizer(told)) == told


def test_a_part_of_all_layers_is_one_short_rule() -> None:
    told = Options(tensor_types={"ffn_up": "q8_0"})

    assert explained(quantizer(told)) == told


def test_a_rule_that_shifts_the_mixture_is_still_one_rule() -> None:
    told = Options(tensor_types={r"blk\.0\.attn_v": "q8_0"})
    assert len([n for n in NAMES if quantizer(told)[n] != quantizer(Options())[n]]) > 1

    assert explained(quantizer(told)) == told


def test_parts_with_the_same_type_share_a_rule() -> None:
    told = Options(tensor_types={r"blk\.(1|2)\.(attn_k|ffn_down)": "q8_0", "ffn_up": "f16"})

    assert explained(quantizer(told)) == Options(
        tensor_types={"ffn_up": "f16", r"blk\.(1|2)\.(attn_k|ffn_down)": "q8_0"}
    )


def test_what_no_rule_changes_is_named() -> None:
    wanted = {**quantizer(Options()), "output.weight": "F32"}

    def stubborn(options: Options) -> dict[str, str]:
        return {**quantizer(options), "output.weight": "Q6_K"}

    found = explain(wanted, stubborn)

    assert found.unexplained == ("output.weight",)
    assert found.rank[0] == 1


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(KINDS)))
def test_every_choice_of_types_is_explained(choice: dict[str, str]) -> None:
    explained({**quantizer(Options()), **choice})


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*PARTS, r"blk\.[0-2]\.attn_v", r"blk\.3\.ffn"]), st.sampled_from(KINDS)
    )
)
def test_an_explanation_says_no_more_than_what_was_told(told: dict[str, str]) -> None:
    said = explained(quantizer(Options(tensor_types=told)))

    assert len(said.tensor_types) <= len(set(told.values()))


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(KINDS), min_size=1))
def test_rules_match_what_they_claim_and_nothing_else(claimed: dict[str, str]) -> None:
    found = rules(claimed, NAMES)

    assert {kind.upper() for kind in found.values()} == set(claimed.values())
    for pattern, kind in found.items():
        meant = {name for name, own in claimed.items() if own == kind.upper()}
        assert {name for name in NAMES if matches(pattern, name)} == meant


@pytest.mark.parametrize(
    ("claimed", "known", "pattern"),
    [
        (["blk.0.attn_q.weight"], ["blk.0.attn_q.weight", "blk.0.attn_qkv.weight"], "attn_q\\."),
        (["enc.blk.0.a.weight"], ["enc.blk.0.a.weight", "dec.blk.0.a.weight"], "^enc"),
        (["blk.0.ssm_A.weight"], ["blk.0.ssm_A.weight"], "ssm_."),
        (["v.head"], ["v.head", "vxhead"], "v\\."),
    ],
)
def test_neighbours_with_similar_names_are_spared(
    claimed: list[str], known: list[str], pattern: str
) -> None:
    [found] = rules(dict.fromkeys(claimed, "Q8_0"), known)

    assert pattern in found
    assert [name for name in known if matches(found, name)] == claimed
    assert re.compile(found.lower())
