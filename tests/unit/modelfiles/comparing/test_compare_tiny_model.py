"""The embedded tiny llama's real weights, quantized by the gguf package, and compared."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from orchestrator.modelfiles import safetensors
from orchestrator.modelfiles.comparing import Verdict, compare
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.model_files import Tensor

WEIGHTS = Path(__file__).parents[4] / "recipes/tiny/models/llama/model.safetensors"
NAME = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def weights() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    header = safetensors.read_header(WEIGHTS)
    one = next(one for one in header.tensors if one.name == NAME)
    assert one.dtype == "F16"
    data = np.fromfile(WEIGHTS, "<f2", one.n_elements, offset=header.data_offset + one.start)
    return data.reshape(one.shape[0], one.shape[1]).astype(np.float32)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q5_1"])
def test_distances_are_those_of_the_gguf_package(
    tmp_path: Path, weights: np.ndarray[tuple[int, int], np.dtype[np.float32]], kind: str
) -> None:
    number = gguf.GGMLQuantizationType[kind]
    stored = gguf.quants.quantize(weights, number)
    shape = (weights.shape[1], weights.shape[0])
    f16 = Model([Tensor(NAME, shape, "F16")], data={NAME: weights.astype("<f2").tobytes()})
    quantized = Model([Tensor(NAME, shape, kind)], data={NAME: stored.tobytes()})

    found = compare(
        write_gguf(tmp_path / "a.gguf", f16), write_gguf(tmp_path / "b.gguf", quantized)
    )

    (one,) = found.tensors
    apart = np.abs(gguf.quants.dequantize(stored, number).astype("f8") - weights)
    assert one.values is not None
    assert one.values.largest == apart.max()
    assert one.values.mean == pytest.approx(apart.mean(), rel=1e-12)


def test_a_changed_row_is_as_many_blocks(
    tmp_path: Path, weights: np.ndarray[tuple[int, int], np.dtype[np.float32]]
) -> None:
    other = weights.copy()
    other[7] *= -1
    number = gguf.GGMLQuantizationType.Q8_0
    stored = [gguf.quants.quantize(one, number) for one in (weights, other)]
    shape = [Tensor(NAME, (weights.shape[1], weights.shape[0]), "Q8_0")]
    a, b = (
        write_gguf(tmp_path / f"{at}.gguf", Model(shape, data={NAME: one.tobytes()}))
        for at, one in enumerate(stored)
    )

    found = compare(a, b)

    (one,) = found.tensors
    apart = np.abs(np.subtract(*(gguf.quants.dequantize(s, number) for s in stored), dtype="f8"))
    assert one.differing_blocks == weights.shape[1] // 32
    assert one.share == pytest.approx(1 / weights.shape[0])
    assert one.values is not None
    assert one.values.largest == apart.max()
    assert one.values.mean == pytest.approx(apart.mean(), rel=1e-12)
    assert found.verdict is Verdict.NEAR
