"""File names by the GGUF naming convention."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.modelfiles import gguf
from orchestrator.workflows.publishing.gguf_naming import Name, distinct, name_of, parse
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.model_files import KV

# The examples of the specification, and names that are in use.
EXAMPLES = {
    "Mixtral-8x7B-v0.1-KQ2.gguf": Name("Mixtral", "8x7B", "", "v0.1", "KQ2"),
    "Hermes-2-Pro-Llama-3-8B-F16.gguf": Name("Hermes-2-Pro-Llama-3", "8B", "", "", "F16"),
    "Grok-100B-v1.0-Q4_0-00003-of-00009.gguf": Name(
        "Grok", "100B", "", "v1.0", "Q4_0", shard="00003-of-00009"
    ),
    "Qwen2.5-0.5B-Instruct-Q8_0.gguf": Name("Qwen2.5", "0.5B", "Instruct", "", "Q8_0"),
    "Foo-7B-v1.0-F16-LoRA.gguf": Name("Foo", "7B", "", "v1.0", "F16", "LoRA"),
}

words = st.from_regex(r"[A-Z][a-z]{1,8}", fullmatch=True)
sizes = st.from_regex(r"([1-9]x)?[1-9][0-9]{0,2}(\.[0-9])?[KMBT]", fullmatch=True)
versions = st.from_regex(r"v[0-9](\.[0-9]){0,2}", fullmatch=True)
encodings = st.sampled_from(["F16", "BF16", "Q4_0", "Q4_K_M", "IQ4_XS", "TQ1_0"])
several = st.lists(words, min_size=1, max_size=3).map("-".join)


@pytest.mark.parametrize("file", EXAMPLES)
def test_a_name_is_taken_apart_and_put_together_again(file: str) -> None:
    assert parse(file) == EXAMPLES[file]
    assert EXAMPLES[file].file == file


@given(
    base=several,
    size=sizes,
    finetune=st.just("") | several,
    version=st.just("") | versions,
    encoding=encodings,
    shard=st.just("") | st.just("00002-of-00010"),
)
def test_every_name_of_all_parts_is_read_as_it_was_meant(
    base: str, size: str, finetune: str, version: str, encoding: str, shard: str
) -> None:
    name = Name(base, size, finetune, version, encoding, "", shard)
    assert parse(name.file) == name


@given(
    told=st.dictionaries(
        st.sampled_from(["basename", "name", "size_label", "finetune", "version"]),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    ),
    encoding=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
)
def test_whatever_the_metadata_says_the_name_is_one_of_the_convention(
    tmp_path_factory: pytest.TempPathFactory, told: dict[str, str], encoding: str
) -> None:
    name = named(tmp_path_factory.mktemp("gguf") / "x.gguf", told, encoding)
    assert re.fullmatch(r"[A-Za-z0-9._-]+\.gguf", name.file)
    assert name.base
    assert parse(name.file) is not None


def named(path: Path, told: dict[str, str], encoding: str = "Q4_0") -> Name:
    fields = {f"general.{key}": KV("str", value) for key, value in told.items()}
    header = gguf.read(write_gguf(path, Model(fields=fields)))
    return name_of(header, encoding, "my-recipe")


def test_the_parts_come_from_the_metadata(tmp_path: Path) -> None:
    told = {
        "name": "Meta Llama 3 8B Instruct",
        "basename": "Meta-Llama-3",
        "size_label": "8B",
        "finetune": "Instruct",
        "version": "1.1",
    }
    assert named(tmp_path / "x.gguf", told).file == "Meta-Llama-3-8B-Instruct-v1.1-Q4_0.gguf"


def test_a_full_name_does_not_say_twice_what_has_a_place_of_its_own(tmp_path: Path) -> None:
    told = {"name": "SmolLM2 135M Instruct", "size_label": "135M", "finetune": "Instruct"}
    assert named(tmp_path / "x.gguf", told).file == "SmolLM2-135M-Instruct-Q4_0.gguf"


def test_a_file_that_says_nothing_is_called_like_its_recipe(tmp_path: Path) -> None:
    assert named(tmp_path / "x.gguf", {}).file == "my-recipe-Q4_0.gguf"


def test_no_metadata_makes_a_name_too_long_for_a_file_system(tmp_path: Path) -> None:
    keys = ("name", "basename", "size_label", "finetune", "version", "type")
    long = dict.fromkeys(keys, "7" * 9000 + "B")
    for told in (long, {"name": long["name"]}, dict.fromkeys(keys, "v" + "1." * 9000)):
        made = named(tmp_path / "x.gguf", told)
        assert len(made.part(1, 99999).file) < 255
        assert parse(made.file) is not None


def test_two_files_never_get_one_name() -> None:
    name = Name("x", encoding="Q4_0")
    with pytest.raises(UsageError, match=r"a\.gguf and b\.gguf would both be published as"):
        distinct({"a.gguf": name, "b.gguf": name})
    distinct({"a.gguf": name, "b.gguf": Name("x", encoding="Q4_0_imatrix")})


def test_parts_are_numbered_as_llama_cpp_wants_it() -> None:
    assert Name("x", encoding="Q4_0").part(2, 12).file == "x-Q4_0-00002-of-00012.gguf"
