from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import StepError, UsageError
from orchestrator.sources.choose_model_files import (
    HubFile,
    Selection,
    inside,
    safe_path,
    select,
    select_files,
)

INDEX = "model.safetensors.index.json"


def files(*paths: str) -> tuple[HubFile, ...]:
    return tuple(HubFile(path, 10, None, None) for path in paths)


def chosen(
    *paths: str, index: object = None, weights: str = "auto", code: bool = False
) -> Selection:
    return chosen_of(files(*paths), index, weights=weights, trust_remote_code=code)


def chosen_of(
    listed: Sequence[HubFile], index: object = None, *, quantized: bool = False, **how: Any
) -> Selection:
    def read_index(path: str) -> bytes:
        assert path in names(listed)
        return index if isinstance(index, bytes) else json.dumps(index).encode()

    return select(listed, read_index=read_index, quantized=lambda _path: quantized, **how)


def names(found: Sequence[HubFile]) -> list[str]:
    return [file.path for file in found]


def shard_map(*shards: str) -> dict[str, dict[str, str]]:
    return {"weight_map": {f"tensor.{i}": shard for i, shard in enumerate(shards)}}


def test_safetensors_win_over_bin_and_bring_no_second_format() -> None:
    got = chosen("config.json", "model.safetensors", "pytorch_model.bin", "flax_model.msgpack")
    assert got.weight_format == "safetensors"
    assert got.paths == ("config.json", "model.safetensors")


def test_the_recipe_can_ask_for_bin() -> None:
    got = chosen("model.safetensors", "pytorch_model.bin", weights="bin")
    assert (names(got.weights), got.weight_format) == (["pytorch_model.bin"], "bin")


def test_bin_is_taken_where_there_are_no_safetensors() -> None:
    index = "pytorch_model.bin.index.json"
    shards = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")
    got = chosen(*shards, index, "training_args.bin", index=shard_map(*shards, shards[0]))
    assert names(got.weights) == list(shards)
    assert names(got.others) == [index]


def test_shards_come_from_the_index_and_strays_are_left() -> None:
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    stray = ("consolidated.safetensors", "adapter_model.safetensors", "original/x.safetensors")
    got = chosen(*shards, *stray, INDEX, index=shard_map(*shards))
    assert names(got.weights) == list(shards)


SHARDS = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")


@pytest.mark.parametrize("full", [("pytorch_model.bin",), SHARDS])
def test_a_quantized_file_beside_full_ones_is_left_out(full: tuple[str, ...]) -> None:
    listed = (HubFile("model.safetensors", 3, None, None), *files(*full))
    got = chosen_of(listed, quantized=True)
    assert (names(got.weights), got.left_out) == (list(full), "model.safetensors")


@pytest.mark.parametrize(
    ("size", "beside", "quantized"),
    [
        (5, files("pytorch_model.bin"), False),  # .bin in float32
        (9, files("pytorch_model.bin"), True),  # both are quantized
        (3, files(SHARDS[0]), True),  # not all of the other form is there
        (3, files("model.bin"), True),
    ],
)
def test_a_lone_file_is_taken_where_nothing_fuller_is_there(
    size: int, beside: tuple[HubFile, ...], quantized: bool
) -> None:
    got = chosen_of((HubFile("model.safetensors", size, None, None), *beside), quantized=quantized)
    assert (names(got.weights), got.left_out) == (["model.safetensors"], "")


def test_the_index_of_the_other_format_is_left_out() -> None:
    got = chosen("model.safetensors", "pytorch_model.bin.index.json", "pytorch_model-1-of-1.bin")
    assert got.paths == ("model.safetensors",)


def test_a_shard_that_the_index_names_must_exist() -> None:
    with pytest.raises(StepError, match=r"lacks: model-00002-of-00002\.safetensors"):
        chosen(
            "model-00001-of-00002.safetensors",
            INDEX,
            index=shard_map("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
        )


@pytest.mark.parametrize(
    "index", [b"not json", b"[]", b"{}", {"weight_map": 3}, {"weight_map": {}}, b"\xff\xfe"]
)
def test_a_damaged_index_is_one_sentence(index: object) -> None:
    with pytest.raises(StepError, match=INDEX):
        chosen("model-00001-of-00001.safetensors", INDEX, index=index)


def test_code_is_only_wanted_when_trusted() -> None:
    paths = ("model.safetensors", "modeling_chatglm.py", "sub/more.py")
    assert names(chosen(*paths).others) == []
    assert names(chosen(*paths, code=True).others) == ["modeling_chatglm.py", "sub/more.py"]


def test_what_describes_the_model_is_kept_and_all_else_left() -> None:
    kept = (
        "1_Pooling/config.json",
        "LICENSE.txt",
        "README.md",
        "USE_POLICY.md",
        "additional_chat_templates/rag.jinja",
        "chat_template.jinja",
        "config.json",
        "merges.txt",
        "qwen.tiktoken",
        "tokenizer.model",
        "tokenizer.model.v3",
    )
    left = (
        ".gitattributes",
        "2_Dense/config.json",
        "model.gguf",
        "onnx/config.json",
        "openvino_model.bin",
        "picture.png",
        "rust_model.ot",
        "tf_model.h5",
        "tokenizer.png",
    )
    assert names(chosen("model.safetensors", *kept, *left).others) == list(kept)


def test_no_weights_says_what_is_there() -> None:
    with pytest.raises(UsageError, match=r"no weights to convert.*\n.*llama\.gguf"):
        chosen("config.json", "llama.gguf")


def test_files_are_chosen_by_name_or_pattern() -> None:
    there = files("a-Q4_0.gguf", "a-Q8_0.gguf", "README.md", "odd[1].zip")
    assert names(select_files(there, ["*-Q4_0.gguf"])) == ["a-Q4_0.gguf"]
    assert names(select_files(there, ["odd[1].zip", "README.md"])) == ["README.md", "odd[1].zip"]


def test_a_pattern_without_a_file_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'a-Q4_1.gguf'.*\n.*'a-Q4_0.gguf'"):
        select_files(files("a-Q4_0.gguf"), ["a-Q4_1.gguf"])


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../x", "a//b", "", ".", "C:x", "a\\b"])
def test_paths_that_leave_the_folder_are_unsafe(path: str) -> None:
    assert not safe_path(path)


@given(st.lists(st.from_regex(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*", fullmatch=True), min_size=1))
def test_plain_names_are_safe(parts: list[str]) -> None:
    assert safe_path("/".join(parts))


def test_shards_without_an_index_are_taken_as_converters_do() -> None:
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    assert names(chosen("config.json", *shards, "consolidated.safetensors").weights) == list(shards)
    bins = ("pytorch_model-00001-of-00001.bin",)
    assert names(chosen(*bins).weights) == list(bins)


def test_shards_without_an_index_must_all_be_there() -> None:
    with pytest.raises(StepError, match=r"speak of 2 files.*lacks: model-00001-of-00002\.safe"):
        chosen("model-00002-of-00002.safetensors")


def test_a_lone_file_beside_full_shards_is_left() -> None:
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    got = chosen("model.safetensors", *shards, INDEX, index=shard_map(*shards))
    assert names(got.weights) == list(shards)
    assert names(got.others) == [INDEX]


def test_a_lone_file_beside_full_shards_without_an_index_is_left() -> None:
    shards = [f"model-{at:05}-of-00002.safetensors" for at in (1, 2)]
    found = chosen("config.json", "model.safetensors", *shards)
    assert [file.path for file in found.weights] == shards
    found = chosen("config.json", "model.safetensors", *shards[:1])
    assert [file.path for file in found.weights] == ["model.safetensors"]


def test_a_lone_file_beside_an_index_without_its_shards_is_the_model() -> None:
    got = chosen("model.safetensors", INDEX, index=shard_map("model-00001-of-00002.safetensors"))
    assert got.paths == ("model.safetensors",)


def test_an_adapter_is_called_one() -> None:
    with pytest.raises(UsageError, match="LoRA adapter") as caught:
        chosen("adapter_config.json", "adapter_model.safetensors")
    assert "'model: {base: ..., lora: [...]}'" in caught.value.hint


OWN = ("params.json", "consolidated.safetensors", "tekken.json")


def test_of_two_layouts_one_is_taken_and_the_other_named() -> None:
    hf = ("config.json", "model.safetensors")
    got, other = chosen(*hf, *OWN), chosen(*hf, *OWN, weights="mistral")

    assert (names(got.weights), got.beside) == (["model.safetensors"], "consolidated.safetensors")
    assert names(other.weights) == ["consolidated.safetensors"]
    assert other.beside == "model.safetensors"
    meta = chosen(*hf, "original/consolidated.00.pth", "original/params.json")
    assert (names(meta.others), meta.beside) == (["config.json"], "original/consolidated.00.pth")
    assert chosen(*hf, "other/consolidated.safetensors").beside == ""


def test_shards_of_mistrals_layout_are_taken_with_or_without_an_index() -> None:
    shards = [f"consolidated-0000{n}-of-00002.safetensors" for n in (1, 2)]

    got = chosen("params.json", *shards, weights="mistral")

    assert names(got.weights) == shards
    with pytest.raises(StepError, match="lacks: consolidated-00002-of-00002"):
        chosen("params.json", shards[0], weights="mistral")
    with pytest.raises(UsageError, match="layout of transformers alone"):
        chosen("config.json", "model.safetensors", weights="mistral")


@pytest.mark.parametrize(
    ("paths", "said", "hint"),
    [
        (OWN, r"Mistral's own layout alone \(consolidated\.safetensors", "format: mistral"),
        (("params.json", "consolidated.00.pth"), "Meta's original layout alone", "format: pth"),
        (("original/consolidated.00.pth",), "Meta's original layout alone", "transformers"),
        (("a/b/model.safetensors", "README.md"), "in folders: a/b", "subfolder: a/b"),
    ],
)
def test_what_is_there_in_place_of_weights_is_named(
    paths: tuple[str, ...], said: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        chosen(*paths)
    assert hint in raised.value.hint


def test_a_folders_files_are_those_below_it_by_their_paths_in_it() -> None:
    listed = files("a/b/config.json", "a/b/x/y.txt", "a/bc/config.json", "config.json")

    assert names(inside(listed, "a/b")) == ["config.json", "x/y.txt"]
    assert inside(listed, "") == tuple(listed)
    found = chosen_of(inside(files("a/model.safetensors", "a/config.json"), "a"))
    assert found.within("a/").paths == ("a/config.json", "a/model.safetensors")
    with pytest.raises(UsageError, match=r"no folder 'a/bd'; did you mean 'a/bc?'\?"):
        inside(listed, "a/bd")
