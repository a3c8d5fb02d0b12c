from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.ggml_types import (
    LAYOUTS,
    Layout,
    row_bytes,
    tensor_bytes,
    type_by_id,
    type_by_name,
)


def test_current_types_agree_with_the_gguf_package() -> None:
    constants = pytest.importorskip("gguf.constants")
    known = {int(kind): (kind.name, *sizes) for kind, sizes in constants.GGML_QUANT_SIZES.items()}
    # gguf-py counts Q8_1 with 32-bit scales; ggml-common.h has had two halves since 2023.
    # No file stores it.
    known.pop(9)
    ours = {one.id: (one.name, one.block, one.nbytes) for one in LAYOUTS["gguf"].values()}
    assert known.items() <= ours.items()
    assert len(known) >= 30


@pytest.mark.parametrize(
    ("name", "layout", "bits"),
    [
        ("Q4_0", "ggjt-v1", 5.0),
        ("Q4_1", "ggjt-v1", 6.0),
        ("Q4_2", "ggjt-v1", 5.0),
        ("Q4_3", "ggjt-v1", 6.0),
        ("Q4_0", "ggjt-v2", 5.0),
        ("Q8_0", "ggjt-v2", 9.0),
        ("Q4_0", "ggjt-v3", 4.5),
        ("Q8_0", "ggjt-v3", 8.5),
        ("Q4_0", "bloomz", 5.0),
        ("Q4_1", "bloomz", 6.0),
        ("Q4_0", "gguf", 4.5),
        ("Q6_K", "gguf", 6.5625),
        ("IQ1_M", "gguf", 1.75),
        ("TQ1_0", "gguf", 1.6875),
        ("MXFP4", "gguf", 4.25),
        ("Q1_0", "gguf", 1.125),
        ("Q2_0", "gguf", 2.25),
    ],
)
def test_bits_per_weight_are_the_published_ones(name: str, layout: Layout, bits: float) -> None:
    assert type_by_name(name, layout).bits_per_weight == bits


def test_names_are_found_in_any_case() -> None:
    assert type_by_name("q4_K") is type_by_name("Q4_K")


def test_types_that_a_layout_lacks_are_refused() -> None:
    with pytest.raises(FormatError, match="'Q4_2' is no tensor type of the gguf layout"):
        type_by_name("Q4_2")
    with pytest.raises(FormatError, match="4 is no tensor type of the ggjt-v2 layout"):
        type_by_id(4, "ggjt-v2")


@given(
    st.sampled_from(sorted(LAYOUTS["gguf"])),
    st.integers(1, 50),
    st.lists(st.integers(1, 9), max_size=3),
)
def test_tensor_bytes_are_rows_of_blocks(number: int, blocks: int, rest: list[int]) -> None:
    kind = LAYOUTS["gguf"][number]
    row = blocks * kind.block
    rows = 1
    for one in rest:
        rows *= one
    assert tensor_bytes(kind, (row, *rest)) == rows * blocks * kind.nbytes


def test_rows_must_fill_whole_blocks() -> None:
    with pytest.raises(FormatError, match="576 elements do not fill the 256-element blocks"):
        row_bytes("Q4_K", 576)


def test_a_scalar_tensor_has_one_element() -> None:
    assert tensor_bytes("F32", ()) == 4
