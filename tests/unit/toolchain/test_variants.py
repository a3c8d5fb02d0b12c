"""Variants: which hold for a tree, and what becomes of the data."""

from __future__ import annotations

import re
from typing import Any

import pytest

from orchestrator.toolchain import load
from orchestrator.toolchain.load import ToolChain
from orchestrator.toolchain.variants import Listed, Variant, When, applied, holding, merged, without
from tests.support.upstream_trees import reader

TREE = {"tools/quantize/quantize.cpp": '{ "Q4_0", F }, { "Q8_0", F }', "CMakeLists.txt": "x y"}
PINNED = load.load("llama.cpp")


@pytest.mark.parametrize(
    ("when", "met"),
    [
        ({"file": "CMakeLists.txt"}, True),
        ({"file": "*/quantize/quantize.cpp"}, True),
        ({"file": "convert.py"}, False),
        ({"file": "convert.py", "there": False}, True),
        ({"file": "CMakeLists.txt", "there": False}, False),
        ({"file": "CMakeLists.txt", "holds": "x.y"}, True),
        ({"file": "CMakeLists.txt", "holds": "z"}, False),
        ({"file": "CMakeLists.txt", "lacks": "z"}, True),
        ({"file": "CMakeLists.txt", "lacks": "x"}, False),
        ({"file": "convert.py", "lacks": "x"}, True),
        ({"file": "convert.py", "holds": "x"}, False),
    ],
)
def test_what_a_tree_must_be_like(when: dict[str, Any], met: bool) -> None:
    assert When.model_validate(when).met(reader(TREE)) is met


def test_names_that_the_source_lists() -> None:
    listed = Listed(file="*/quantize.cpp", pattern=r'\{ "(\w+)"')
    assert listed.read(reader(TREE)) == ("Q4_0", "Q8_0")
    assert listed.read(reader({})) == ()


@pytest.mark.parametrize(
    ("base", "change", "after"),
    [
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": None, "d": 3}}, {"a": {"b": 1, "d": 3}}),
        ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": None}, {"b": 1}, {"a": None, "b": 1}),
    ],
)
def test_mappings_are_merged_lists_replaced_and_null_takes_away(
    base: Any, change: Any, after: Any
) -> None:
    assert merged(base, change) == after


def test_later_variants_win_and_programs_are_renamed_wherever_they_are_called() -> None:
    data = {
        "verbs": {
            "complete": {"argv": ["{bin}/new{exe}", {"if": "x", "then": ["{bin}/new{exe}"]}]}
        },
        "build": {"targets": ["new", "other"], "self_test": [{"argv": ["{bin}/new{exe}", "new"]}]},
    }
    when = When(file="x")
    first = Variant(about="", when=when, programs={"new": "middle"}, set={"layout": "a"})
    second = Variant(about="", when=when, programs={"new": "old"}, set={"layout": "b"})

    found = applied(data, [first, second])

    assert found["verbs"]["complete"]["argv"] == [
        "{bin}/old{exe}",
        {"if": "x", "then": ["{bin}/old{exe}"]},
    ]
    assert found["build"]["targets"] == ["old", "other"]
    assert found["build"]["self_test"][0]["argv"] == ["{bin}/old{exe}", "new"]
    assert found["layout"] == "b"


def test_types_that_the_quantizer_does_not_list_are_gone() -> None:
    types: dict[str, Any] = {"Q4_0": {}, "Q4_K_M": {"aliases": ("Q4_K",)}, "Q2_0": {}}
    assert list(without(types, ["Q4_0", "Q4_K"])) == ["Q4_0", "Q4_K_M"]
    assert without(types, []) == types


def test_the_data_can_be_what_every_variant_says_alone_and_with_all_others() -> None:
    names = tuple(PINNED.variants)
    for name in names:
        assert PINNED.at([name]).held == (name,)
    everything = PINNED.at(names)
    assert everything.held == names
    assert everything.pinned is PINNED


def oldest() -> ToolChain:
    """As it is for a tree that has nothing that was ever added, as at the end of 2023."""
    old = {
        "CMakeLists.txt": "option(LLAMA_NATIVE)",
        "examples/quantize/CMakeLists.txt": "set(TARGET quantize)",
        "convert.py": "np.uint32(1).newbyteorder('<')",
        "convert-hf-to-gguf.py": "",
    }
    return PINNED.at(holding(PINNED.variants, reader(old)))


def test_no_option_of_the_newest_cmake_is_given_to_the_oldest() -> None:
    options = " ".join(oldest().build.arguments("portable", "cpu", "linux", "x86_64"))
    assert "LLAMA_NATIVE=OFF" in options
    assert "GGML" not in options
    assert "INCLUDE" not in options


def test_no_program_of_the_newest_is_called_in_the_oldest() -> None:
    chain = oldest()
    called = {str(verb.argv[0]) for verb in chain.verbs.values()}
    programs = {one.removeprefix("{bin}/").removesuffix("{exe}") for one in called if "bin" in one}
    assert programs == {"quantize", "perplexity", "llama-bench", "main"} == set(chain.build.targets)
    assert not {"plan_quantize", "describe", "imatrix", "divergence", "split"} & chain.verbs.keys()


def test_fallbacks_in_the_words_of_2023_and_2024() -> None:
    said = """
[   2/  12]          blk.0.attn_norm.weight - [  320,     1,     1,     1], type =    f32, size = 0.001 MB
[   3/  12]             blk.0.attn_q.weight - [  320,   320,     1,     1], type =    f16, 

llama_tensor_get_type : tensor cols 320 x 320 are not divisible by 256, required for q4_K - using fallback quantization q5_0
converting to q5_0 .. size =     0.20 MiB ->     0.07 MiB
"""  # noqa: E501, W291 - the tool's own lines
    pattern = oldest().verbs["quantize"].lists["fallbacks"]

    assert [found.groupdict() for found in re.finditer(pattern, said)] == [
        {
            "tensor": "blk.0.attn_q.weight",
            "columns": "320",
            "block": "256",
            "wanted": "q4_K",
            "got": "q5_0",
        }
    ]


def test_files_that_variants_name_are_there() -> None:
    chain = oldest()
    assert chain.verb_identity("convert")["files"]
    assert chain.digests(["one_script.py", "selftest_untied.gguf"])


def test_recipes_may_name_types_of_every_commit() -> None:
    spelled = PINNED.spellings
    assert spelled["Q4_0_4_4"] == "Q4_0_4_4"
    assert spelled["Q4_K"] == "Q4_K_M"
    assert "Q4_0_4_4" not in PINNED.types


def test_the_table_of_sdists_has_the_pinned_commit_and_no_commit_without_a_checksum() -> None:
    commits = [one.commit for one in PINNED.source.mirrors]
    assert PINNED.source.commit in commits
    assert len(commits) > 100


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("0c1e570", PINNED.source.commit),
        ("0c1e5", ""),
        ("ea9c32b", "ea9c32be71b9"),
        ("ffffffff", ""),
    ],
)
def test_the_beginning_of_a_known_commit_means_it(name: str, found: str) -> None:
    assert PINNED.source.known(name)[: len(found) or 1] == found
