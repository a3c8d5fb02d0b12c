from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.ggml_size import Dimensions, llama_tensors
from orchestrator.modelfiles.ggml_type_mixture import ggjt_v3_types


def census(file_type: str, vocabulary: int = 512, layers: int = 16) -> dict[str, int]:
    shapes = llama_tensors(Dimensions(vocabulary, 256, 768, layers, 0))
    return dict(Counter(ggjt_v3_types(shapes, file_type).values()))


@pytest.mark.parametrize(
    ("file_type", "expected"),
    # 16 layers: 112 matrices in layers, embeddings, output; 33 vectors. What the real
    # quantizer of 604b8bd made of such a file.
    [
        ("Q4_0", {"F32": 33, "Q4_0": 113, "Q6_K": 1}),
        ("Q2_K", {"F32": 33, "Q2_K": 65, "Q4_K": 48, "Q6_K": 1}),
        ("Q3_K_S", {"F32": 33, "Q3_K": 113, "Q6_K": 1}),
        ("Q3_K_M", {"F32": 33, "Q3_K": 65, "Q4_K": 48, "Q6_K": 1}),
        ("Q3_K_L", {"F32": 33, "Q3_K": 65, "Q5_K": 48, "Q6_K": 1}),
        ("Q4_K_S", {"F32": 33, "Q4_K": 113, "Q6_K": 1}),
        ("Q4_K_M", {"F32": 33, "Q4_K": 97, "Q6_K": 17}),
        ("Q5_K_S", {"F32": 33, "Q5_K": 113, "Q6_K": 1}),
        ("Q5_K_M", {"F32": 33, "Q5_K": 97, "Q6_K": 17}),
        ("Q6_K", {"F32": 33, "Q6_K": 114}),
    ],
)
def test_mixtures(file_type: str, expected: dict[str, int]) -> None:
    assert census(file_type) == expected


def test_an_added_token_makes_the_quantizer_fall_back() -> None:
    shapes = list(llama_tensors(Dimensions(513, 256, 768, 1, 0)))
    types = ggjt_v3_types(shapes, "Q4_K_M")
    assert types["output.weight"] == "F16"
    assert types["tok_embeddings.weight"] == "Q4_0"
    assert types["layers.0.attention.wq.weight"] == "Q4_K"


def test_other_matrices_have_no_fallback() -> None:
    shapes = llama_tensors(Dimensions(512, 256, 700, 1, 0))
    with pytest.raises(FormatError, match=r"cannot hold 'layers.0.feed_forward.w1.weight'"):
        ggjt_v3_types(shapes, "Q4_K_M")
