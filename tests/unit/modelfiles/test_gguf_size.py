from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.format_error import FormatError
from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_bytes

TENSORS = [
    Tensor("tok.weight", (256, 10), "F16"),
    Tensor("norm.weight", (256,)),
    Tensor("odd.weight", (96, 7), "F16"),
]
SET = {"general.quantization_version": KV("u32", 2), "general.file_type": KV("u32", 15)}
BASE = {"general.architecture": KV("str", "llama"), "tokens": KV("arr", ["a", "b"], "str")}


def predicted(folder: Path, fields: Mapping[str, KV], **options: object) -> int:
    path = folder / "in.gguf"
    path.write_bytes(gguf_bytes(GGUFSpec(fields, TENSORS)))
    types = {"tok.weight": "Q4_K", "odd.weight": "Q5_0"}
    return gguf.predicted_size(gguf.read(path), types, **options)  # type: ignore[arg-type]


def written(fields: Mapping[str, KV]) -> int:
    """What llama-quantize writes, done with the builder: the types changed, the keys set."""
    types = ["Q4_K", "F32", "Q5_0"]
    tensors = [Tensor(one.name, one.shape, kind) for one, kind in zip(TENSORS, types, strict=True)]
    return len(gguf_bytes(GGUFSpec(fields, tensors)))


def test_the_size_is_that_of_the_file_written(tmp_path: Path) -> None:
    assert predicted(tmp_path, BASE) == written(BASE | SET)


def test_keys_that_are_there_already_are_replaced(tmp_path: Path) -> None:
    old = {"general.quantization_version": KV("u64", 1), "general.file_type": KV("u32", 1)}
    assert predicted(tmp_path, BASE | old) == written(BASE | SET)


def test_keys_of_split_files_are_dropped(tmp_path: Path) -> None:
    split = {f"split.{key}": KV("u16", 1) for key in ("no", "count", "tensors.count")}
    many = {f"split.{index}": KV("u16", 1) for index in range(9)}
    assert predicted(tmp_path, BASE | split) == written(BASE | SET)
    assert predicted(tmp_path, BASE | many) == written(BASE | SET | many)


def test_overrides_have_the_types_that_llama_quantize_gives_them(tmp_path: Path) -> None:
    values = {"a": 3, "b": 1.5, "c": True, "quantize.imatrix.file": "x" * 200, "d": "ü" * 100}
    fields = {
        "a": KV("u32", 3),
        "b": KV("f32", 1.5),
        "c": KV("bool", 1),
        "quantize.imatrix.file": KV("str", "x" * 127),
        "d": KV("str", b"y" * 127),
    }
    assert predicted(tmp_path, BASE, extra_kv=values) == written(BASE | SET | fields)


def test_an_override_replaces_the_value_of_the_input(tmp_path: Path) -> None:
    long = BASE | {"general.name": KV("str", "n" * 500)}
    short = BASE | {"general.name": KV("str", "m")}
    assert predicted(tmp_path, long, extra_kv={"general.name": "m"}) == written(short | SET)


def test_strings_end_at_a_nul_as_they_do_in_c(tmp_path: Path) -> None:
    tail = "\0" + "x" * 100
    fields = {"s": KV("str", f"ab{tail}"), "l": KV("arr", [tail, f"c{tail}"], "str")}
    cut = {"s": KV("str", "ab"), "l": KV("arr", ["", "c"], "str")}
    assert predicted(tmp_path, BASE | fields) == written(BASE | cut | SET)


def test_trailing_dimensions_of_one_are_not_written(tmp_path: Path) -> None:
    shapes = [(32, 1, 1), (1, 1), (32, 1, 2)]
    kept = [(32,), (1,), (32, 1, 2)]
    name = "tensor.with.a.name.{}".format
    inputs = [Tensor(name(index), shape) for index, shape in enumerate(shapes * 3)]
    inputs = [Tensor(f"{one.name}{at}", one.shape) for at, one in enumerate(inputs)]
    outputs = [Tensor(one.name, kept[index % 3]) for index, one in enumerate(inputs)]
    path = tmp_path / "in.gguf"
    path.write_bytes(gguf_bytes(GGUFSpec(BASE, inputs)))
    expected = len(gguf_bytes(GGUFSpec(BASE | SET, outputs)))
    assert gguf.predicted_size(gguf.read(path), {}) == expected


def test_a_wrong_wish_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "in.gguf"
    path.write_bytes(gguf_bytes(GGUFSpec(BASE, TENSORS)))
    found = gguf.read(path)
    with pytest.raises(FormatError, match="has no tensor 'x'"):
        gguf.predicted_size(found, {"x": "F16"})
    with pytest.raises(FormatError, match="'Q9' is no tensor type"):
        gguf.predicted_size(found, {"norm.weight": "Q9"})
    with pytest.raises(FormatError, match="96 elements do not fill"):
        gguf.predicted_size(found, {"odd.weight": "Q4_K"})
