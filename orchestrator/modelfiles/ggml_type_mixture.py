"""Which tensor gets which type from the k-quants of llama.cpp 604b8bd (ggjt v3).

That quantizer has no dry run, falls back silently, and mixes types by rules in its source
(llama_model_quantize_internal in llama.cpp); they are stated here so that sizes are known
before a weight is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.ggml_size import Shapes, simple_types

_SUPER_BLOCK = 256
_WV, _W2, _WO = "attention.wv.weight", "feed_forward.w2.weight", "attention.wo.weight"
_SOME = "some"  # Q6_K in the layers that deserve more bits, else the base type


@dataclass(frozen=True)
class _Mix:
    base: str
    better: Mapping[str, str]


_MIXES: Mapping[str, _Mix] = {
    "Q2_K": _Mix("Q2_K", {_WV: "Q4_K", _W2: "Q4_K", _WO: "Q4_K"}),
    "Q3_K_S": _Mix("Q3_K", {}),
    "Q3_K_M": _Mix("Q3_K", {_WV: "Q4_K", _W2: "Q4_K", _WO: "Q4_K"}),
    "Q3_K_L": _Mix("Q3_K", {_WV: "Q5_K", _W2: "Q5_K", _WO: "Q5_K"}),
    "Q4_K_S": _Mix("Q4_K", {}),
    "Q4_K_M": _Mix("Q4_K", {_WV: _SOME, _W2: _SOME}),
    "Q5_K_S": _Mix("Q5_K", {}),
    "Q5_K_M": _Mix("Q5_K", {_WV: _SOME, _W2: _SOME}),
    "Q6_K": _Mix("Q6_K", {}),
}


def ggjt_v3_types(tensors: Shapes, file_type: str) -> dict[str, str]:
    """Type of each tensor of a llama that the last pre-GGUF quantizer makes ``file_type``.

    Args:
        tensors: Names and shapes (row length first) in file order.
        file_type: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, or a k-quant such as Q4_K_M.

    Raises:
        FormatError: A matrix other than the embeddings and the output does not have rows
            and columns in multiples of 256; that quantizer then stops.
    """
    shapes = list(tensors)
    mix = _MIXES.get(file_type)
    if mix is None:
        return simple_types(shapes, file_type, "ggjt-v3")
    types = simple_types(shapes, mix.base, "ggjt-v3")
    for suffix, better in mix.better.items():
        names = [name for name, _ in shapes if name.endswith(suffix)]
        for index, name in enumerate(names):
            if better != _SOME or _deserves_more(index, len(names)):
                types[name] = "Q6_K" if better == _SOME else better
    return types | {name: _fallback(name, shape) for name, shape in shapes if _odd(shape, name)}


def _deserves_more(index: int, count: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    eighth = count // 8
    return index < eighth or index >= 7 * count // 8 or (index - eighth) % 3 == 2


def _odd(shape: tuple[int, ...], name: str) -> bool:
    matrix = len(shape) == 2 and name.endswith("weight")
    return matrix and any(one % _SUPER_BLOCK for one in shape)


def _fallback(name: str, shape: tuple[int, ...]) -> str:
    if name == "output.weight":
        return "F16"
    if name == "tok_embeddings.weight":
        return "Q4_0"
    raise FormatError(f"k-quants of ggjt v3 cannot hold {name!r} of shape {list(shape)}")
