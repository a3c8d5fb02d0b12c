"""Readers of GGML files, the sizes of block types and the shapes of models agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.modelfiles import ggml
from orchestrator.modelfiles.ggml_types import Layout
from tests.support.ggml_sizes import (
    Dimensions,
    bloom_size,
    bloom_tensors,
    llama_size,
    llama_tensors,
    types_of,
)
from tests.support.model_files import GGMLSpec, Tensor, as_f16, ggml_bytes

GIB = 2**30
SEVEN = Dimensions(32000, 4096, 11008, 32, 176_574)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("Q4_0", 5.0), ("Q4_1", 6.0), ("Q5_0", 5.5), ("Q5_1", 6.0), ("Q8_0", 9.0), ("F16", 16.0)],
)
def test_sizes_follow_from_shapes_within_half_a_percent(kind: str, bits: float) -> None:
    size = llama_size(SEVEN, kind, "ggjt-v1")
    assert size == pytest.approx(6_738_415_616 * bits / 8, rel=0.005)


@pytest.mark.parametrize(("kind", "size"), [("Q4_0", 4.7), ("F16", 15.0)])
def test_a_bloom_of_seven_billion_has_the_published_size(kind: str, size: float) -> None:
    found = bloom_size(Dimensions(250880, 4096, 16384, 30, 2_000_000), kind)
    assert found / GIB == pytest.approx(size, rel=0.01)


def typed(tensors: list[Tensor], types: dict[str, str]) -> list[Tensor]:
    return [Tensor(one.name, one.shape, types[one.name]) for one in tensors]


@pytest.mark.parametrize("layout", ["ggjt-v1", "ggjt-v2", "ggjt-v3"])
@pytest.mark.parametrize("kind", ["F16", "Q4_0", "Q4_1", "Q5_0", "Q8_0"])
def test_llama_sizes_are_those_of_files_that_are_read(
    tmp_path: Path, layout: Layout, kind: str
) -> None:
    tokens = [b"t%d" % index for index in range(512)]
    size = Dimensions(512, 256, 512, 2, sum(map(len, tokens)), kv_width=64)
    shapes = list(llama_tensors(size))
    tensors = typed(as_f16(shapes), types_of(shapes, kind, layout))
    spec = GGMLSpec(hparams={"n_layer": 2}, tokens=tokens, tensors=tensors)
    path = tmp_path / "x.bin"
    path.write_bytes(ggml_bytes(replace(spec, version=int(layout[-1]))))
    assert path.stat().st_size == llama_size(size, kind, layout)
    assert {one.name for one in ggml.read(path, "llama").tensors} == {name for name, _ in shapes}


@pytest.mark.parametrize("kind", ["F16", "Q4_0", "Q4_1"])
def test_bloom_sizes_are_those_of_files_that_are_read(tmp_path: Path, kind: str) -> None:
    tokens = [b"t%d" % index for index in range(50)]
    size = Dimensions(50, 64, 256, 2, sum(map(len, tokens)))
    shapes = list(bloom_tensors(size))
    tensors = typed(as_f16(shapes), types_of(shapes, kind, "bloomz"))
    path = tmp_path / "x.bin"
    path.write_bytes(ggml_bytes(GGMLSpec("ggml", 0, "bloom", {"n_layer": 2}, tokens, tensors)))
    assert path.stat().st_size == bloom_size(size, kind)
    assert {one.name for one in ggml.read(path, "bloom").tensors} == {name for name, _ in shapes}


def test_the_names_of_tensors_are_those_of_the_converters() -> None:
    size = Dimensions(50, 64, 256, 2, 0)
    bloom, llama = dict(bloom_tensors(size)), dict(llama_tensors(size))
    assert (len(bloom), len(llama)) == (6 + 12 * 2, 3 + 9 * 2)
    assert bloom.keys() == ggml.tensor_names("bloom", 2)
    assert llama.keys() == ggml.tensor_names("llama", 2)
