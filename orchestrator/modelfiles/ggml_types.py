"""Sizes of ggml's tensor types, today's and those of the files of 2023.

A tensor is stored as rows of blocks: ``block`` elements in ``nbytes`` bytes. The numbers
of today's types are those of ggml.h and ggml-common.h of llama.cpp 0c1e570; the older
ones are those of llama.cpp 50cb666 and its neighbours (ggjt v1), of the fortnight of ggjt
v2 in May 2023, and of 604b8bd (ggjt v3). In v1 and v2 the scales of Q4_0, Q4_1 and Q8_0
are 32-bit floats, so that Q4_0 has 5.0 bits per weight; v3 made them 16-bit.
bloomz.cpp stores its types 0 to 3 as ggjt v1 does, at both pins (eba1ab8 and 9614897).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from orchestrator.modelfiles.format_error import FormatError

Layout = Literal["gguf", "ggjt-v1", "ggjt-v2", "ggjt-v3", "bloomz"]


@dataclass(frozen=True)
class GGMLType:
    """One tensor type: its number in files, its name, elements and bytes of a block."""

    id: int
    name: str
    block: int
    nbytes: int

    @property
    def bits_per_weight(self) -> float:
        """Bits that one element costs."""
        return 8 * self.nbytes / self.block


def _table(*types: GGMLType) -> Mapping[int, GGMLType]:
    return {one.id: one for one in types}


_F32 = GGMLType(0, "F32", 1, 4)
_F16 = GGMLType(1, "F16", 1, 2)
_Q5_0 = GGMLType(6, "Q5_0", 32, 22)
_Q5_1 = GGMLType(7, "Q5_1", 32, 24)
_K_QUANTS = (
    GGMLType(10, "Q2_K", 256, 84),
    GGMLType(11, "Q3_K", 256, 110),
    GGMLType(12, "Q4_K", 256, 144),
    GGMLType(13, "Q5_K", 256, 176),
    GGMLType(14, "Q6_K", 256, 210),
)
_HALF_SCALES = (
    GGMLType(2, "Q4_0", 32, 18),
    GGMLType(3, "Q4_1", 32, 20),
    GGMLType(8, "Q8_0", 32, 34),
)
_FLOAT_SCALES = (GGMLType(2, "Q4_0", 32, 20), GGMLType(3, "Q4_1", 32, 24))
_Q8_0_FLOAT_SCALE = GGMLType(8, "Q8_0", 32, 36)

LAYOUTS: Mapping[Layout, Mapping[int, GGMLType]] = {
    "gguf": _table(
        _F32,
        _F16,
        *_HALF_SCALES,
        _Q5_0,
        _Q5_1,
        GGMLType(9, "Q8_1", 32, 36),
        *_K_QUANTS,
        GGMLType(15, "Q8_K", 256, 292),
        GGMLType(16, "IQ2_XXS", 256, 66),
        GGMLType(17, "IQ2_XS", 256, 74),
        GGMLType(18, "IQ3_XXS", 256, 98),
        GGMLType(19, "IQ1_S", 256, 50),
        GGMLType(20, "IQ4_NL", 32, 18),
        GGMLType(21, "IQ3_S", 256, 110),
        GGMLType(22, "IQ2_S", 256, 82),
        GGMLType(23, "IQ4_XS", 256, 136),
        GGMLType(24, "I8", 1, 1),
        GGMLType(25, "I16", 1, 2),
        GGMLType(26, "I32", 1, 4),
        GGMLType(27, "I64", 1, 8),
        GGMLType(28, "F64", 1, 8),
        GGMLType(29, "IQ1_M", 256, 56),
        GGMLType(30, "BF16", 1, 2),
        GGMLType(34, "TQ1_0", 256, 54),
        GGMLType(35, "TQ2_0", 256, 66),
        GGMLType(39, "MXFP4", 32, 17),
        GGMLType(40, "NVFP4", 64, 36),
        GGMLType(41, "Q1_0", 128, 18),
        GGMLType(42, "Q2_0", 64, 18),
    ),
    "ggjt-v1": _table(
        _F32,
        _F16,
        *_FLOAT_SCALES,
        GGMLType(4, "Q4_2", 16, 10),
        GGMLType(5, "Q4_3", 16, 12),
        _Q5_0,
        _Q5_1,
        _Q8_0_FLOAT_SCALE,
    ),
    "ggjt-v2": _table(_F32, _F16, *_FLOAT_SCALES, _Q5_0, _Q5_1, _Q8_0_FLOAT_SCALE),
    "ggjt-v3": _table(_F32, _F16, *_HALF_SCALES, _Q5_0, _Q5_1, *_K_QUANTS),
    "bloomz": _table(_F32, _F16, *_FLOAT_SCALES),
}

_BY_NAME: Mapping[Layout, Mapping[str, GGMLType]] = {
    layout: {one.name: one for one in table.values()} for layout, table in LAYOUTS.items()
}


def type_by_id(number: int, layout: Layout = "gguf") -> GGMLType:
    """The type with this number; FormatError when ``layout`` has none (or has dropped it)."""
    found = LAYOUTS[layout].get(number)
    if found is None:
        raise FormatError(f"{number} is no tensor type of the {layout} layout")
    return found


def type_by_name(name: str, layout: Layout = "gguf") -> GGMLType:
    """The type of this name, in any case of letters (``q4_K`` as ggml prints it, ``Q4_K``)."""
    found = _BY_NAME[layout].get(name.upper())
    if found is None:
        raise FormatError(f"{name!r} is no tensor type of the {layout} layout")
    return found


def row_bytes(kind: GGMLType | str, elements: int, layout: Layout = "gguf") -> int:
    """Bytes of one row of ``elements``; FormatError when they do not fill whole blocks."""
    one = type_by_name(kind, layout) if isinstance(kind, str) else kind
    blocks, rest = divmod(elements, one.block)
    if rest:
        raise FormatError(
            f"rows of {elements} elements do not fill the {one.block}-element blocks of {one.name}"
        )
    return blocks * one.nbytes


def tensor_bytes(kind: GGMLType | str, shape: Sequence[int], layout: Layout = "gguf") -> int:
    """Bytes of a tensor of ``shape`` in ggml order (row length first), without padding."""
    return row_bytes(kind, shape[0] if shape else 1, layout) * prod(shape[1:])
