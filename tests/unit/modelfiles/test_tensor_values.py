"""Values that no weight has, found in every type; sound tensors are left in peace."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from orchestrator.base.errors import StepError
from orchestrator.modelfiles import tensor_values
from orchestrator.modelfiles.ggml_types import tensor_bytes, type_by_name
from tests.support.model_files import GGUFSpec, Tensor, gguf_header

SHAPE = (256, 4)
NAME = "blk.0.ffn_down.weight"
NAN, INFINITE = b"\x01\x7e", b"\x00\x7c"

# Where the scales of a block are, as ggml-common.h has them; their bytes in the block.
SCALES = {
    **dict.fromkeys(("Q4_0", "Q5_0", "Q8_0", "IQ4_NL", "IQ4_XS", "Q1_0", "Q2_0"), 0),
    **dict.fromkeys(("IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"), 0),
    **{"Q4_1": 2, "Q5_1": 2, "Q4_K": 2, "Q5_K": 2, "Q2_K": 82, "Q3_K": 108, "Q6_K": 208},
    **{"TQ1_0": 52, "TQ2_0": 64},
}


def write(folder: Path, type_name: str, data: bytes, shape: tuple[int, ...] = SHAPE) -> Path:
    path = folder / "x.gguf"
    path.write_bytes(gguf_header(GGUFSpec({}, [Tensor(NAME, shape, type_name)])) + data)
    return path


def sound(type_name: str, shape: tuple[int, ...] = SHAPE) -> bytearray:
    """Bytes that are finite numbers and finite scales wherever the type has them."""
    count = tensor_bytes(type_name, shape)
    return bytearray(np.arange(count, dtype=np.uint64).astype(np.uint8) & 0x3B)


def found(path: Path) -> list[str]:
    return [str(one) for one in tensor_values.scan(path)]


@pytest.mark.parametrize("type_name", [*SCALES, "F16", "BF16", "F32"])
def test_finite_values_are_no_damage(tmp_path: Path, type_name: str) -> None:
    assert found(write(tmp_path, type_name, bytes(sound(type_name)))) == []


@pytest.mark.parametrize(
    ("type_name", "value", "words"),
    [
        ("F16", NAN, "1 NaN value"),
        ("F16", INFINITE, "1 infinite value"),
        ("F16", b"\x00\xfc", "1 infinite value"),
        ("BF16", b"\xc0\x7f", "1 NaN value"),
        ("BF16", b"\x80\xff", "1 infinite value"),
        ("F32", struct.pack("<f", float("nan")), "1 NaN value"),
        ("F32", struct.pack("<f", float("-inf")), "1 infinite value"),
    ],
)
def test_a_number_that_is_none_is_found(
    tmp_path: Path, type_name: str, value: bytes, words: str
) -> None:
    data = sound(type_name)
    data[-len(value) :] = value

    assert found(write(tmp_path, type_name, bytes(data))) == [f"{NAME} holds {words}"]


@pytest.mark.parametrize(("type_name", "place"), SCALES.items())
def test_a_scale_that_is_no_number_is_found(tmp_path: Path, type_name: str, place: int) -> None:
    data = sound(type_name)
    block = type_by_name(type_name).nbytes
    start = len(data) - block + place
    data[start : start + 2] = NAN

    assert found(write(tmp_path, type_name, bytes(data))) == [f"{NAME} holds 1 NaN scale"]


def test_a_power_of_two_that_is_none_is_found(tmp_path: Path) -> None:
    data = sound("MXFP4")
    data[17] = 0xFF

    assert found(write(tmp_path, "MXFP4", bytes(data))) == [f"{NAME} holds 1 infinite scale"]


@pytest.mark.parametrize("type_name", ["F16", "F32", "Q4_0", "Q6_K", "Q8_0"])
def test_a_matrix_of_zeros_is_found(tmp_path: Path, type_name: str) -> None:
    data = bytes(tensor_bytes(type_name, SHAPE))

    assert found(write(tmp_path, type_name, data)) == [f"{NAME} holds zeros only"]


@pytest.mark.parametrize("type_name", ["F16", "F32"])
def test_a_matrix_of_one_value_is_found(tmp_path: Path, type_name: str) -> None:
    data = b"\x11" * tensor_bytes(type_name, SHAPE)

    assert found(write(tmp_path, type_name, data)) == [f"{NAME} holds one value only"]


@pytest.mark.parametrize("value", [b"\x00\x00", b"\x00\x3c"])
def test_a_vector_of_zeros_or_ones_is_a_bias_or_a_norm(tmp_path: Path, value: bytes) -> None:
    assert found(write(tmp_path, "F16", value * 256, (256,))) == []


def test_the_end_of_a_long_tensor_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_values, "_BUFFER", 100)
    data = sound("F16")
    data[-2:] = NAN
    seen: list[tuple[int, int]] = []
    path = write(tmp_path, "F16", bytes(data))

    assert list(tensor_values.scan(path, report=lambda done, total: seen.append((done, total))))
    assert seen[-1] == (len(data), len(data))
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("value", "hint"), [(INFINITE, "outtype: bf16"), (NAN, "made from is damaged")]
)
def test_the_sentence_says_what_helps(tmp_path: Path, value: bytes, hint: str) -> None:
    data = sound("F16")
    data[:2] = value

    with pytest.raises(StepError, match=r"^convert x: blk\.0\.ffn_down\.weight holds 1") as caught:
        tensor_values.expect_sound(write(tmp_path, "F16", bytes(data)), "convert x", lambda _: None)
    assert hint in caught.value.hint


def test_stand_in_models_may_have_matrices_of_zeros_but_nothing_that_is_no_number(
    tmp_path: Path,
) -> None:
    zeros = write(tmp_path, "F16", bytes(tensor_bytes("F16", SHAPE)))
    with pytest.raises(StepError, match="holds zeros only"):
        tensor_values.expect_sound(zeros, "x", lambda _: None)
    allowed = tensor_values.expect_sound(zeros, "x", lambda _: None, constant=True)
    assert allowed == [one.tensor for one in tensor_values.scan(zeros)]

    data = sound("F16")
    data[:2] = NAN
    with pytest.raises(StepError, match="1 NaN value"):
        tensor_values.expect_sound(
            write(tmp_path, "F16", bytes(data)), "x", lambda _: None, constant=True
        )
