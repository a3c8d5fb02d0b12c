"""Blocks of quantized tensors as numbers.

Today's types are left to the ``gguf`` package, which llama.cpp's authors maintain; plain
types, those that the package lacks and the layouts of 2023 that nobody maintains are here.
Importing this module imports numpy and gguf.
Sources: ``dequantize_row_*`` in ggml.c of llama.cpp 50cb666 (ggjt v1) and of its successors
in May 2023 (ggjt v2), and in ggml-quants.c of llama.cpp 0c1e570.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from numpy.typing import NDArray

from orchestrator.modelfiles.comparing.opened_files import PLANAR

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.floating[Any]]
Decoder = Callable[[Bytes], Numbers]

_PLAIN: Mapping[str, str] = {
    "F32": "<f4",
    "F16": "<f2",
    "F64": "<f8",
    "I8": "<i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
}


def decoder(type_name: str) -> Decoder | None:
    """What makes numbers of blocks of this type.

    Args:
        type_name: As :func:`orchestrator.modelfiles.comparing.opened_files.type_name` gives it.

    Returns:
        A function from blocks (count, bytes of a block) to numbers (count, elements), in
        float32, or float64 where that cannot hold them; None for a type that neither this
        module nor the installed gguf package knows.
    """
    if type_name in _PLAIN:
        return lambda blocks: _plain(blocks, _PLAIN[type_name])
    return _OWN.get(type_name) or _upstream(type_name)


def _plain(blocks: Bytes, dtype: str) -> Numbers:
    wide = "f8" if dtype in ("<f8", "<i4", "<i8") else "f4"
    found: Numbers = blocks.view(dtype).astype(wide)
    return found


def _upstream(type_name: str) -> Decoder | None:
    kind = getattr(GGMLQuantizationType, type_name, None)
    if kind is None:
        return None

    def decode(blocks: Bytes) -> Numbers:
        # As one row: the package otherwise takes 16 rows at a time, which is slow for short
        # ones.
        return np.asarray(quants.dequantize(blocks.reshape(1, -1), kind)).reshape(len(blocks), -1)

    return decode if _known(decode, kind) else None


def _known(decode: Decoder, kind: Any) -> bool:
    try:
        decode(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8))
    except NotImplementedError:
        return False
    return True


def _scale(blocks: Bytes, at: int, dtype: str) -> Numbers:
    """One number of each block as a column."""
    size = int(dtype[-1])
    found: Numbers = blocks[:, at : at + size].copy().view(dtype).astype("f4")
    return found


def _neighbours(packed: Bytes) -> Bytes:
    """Nibbles in the order of ggjt v1: both of a byte are neighbours, the low one first."""
    return np.stack([packed & 15, packed >> 4], axis=2).reshape(len(packed), -1)


def _halves(packed: Bytes) -> Bytes:
    """Nibbles in the order since ggjt v2: all the low ones come first."""
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def _fifth_bits(blocks: Bytes, at: int) -> Bytes:
    bits = np.unpackbits(blocks[:, at : at + 4], axis=1, bitorder="little")
    return np.left_shift(bits, 4, dtype=np.uint8)


def _q4(dtype: str, nibbles: Callable[[Bytes], Bytes], minimum: bool) -> Decoder:
    size = int(dtype[-1])

    def decode(blocks: Bytes) -> Numbers:
        values = nibbles(blocks[:, size * (1 + minimum) :]).astype("f4")
        scale = _scale(blocks, 0, dtype)
        if minimum:
            return values * scale + _scale(blocks, size, dtype)
        return (values - 8) * scale

    return decode


def _q5_v1(minimum: bool) -> Decoder:
    start = 4 if minimum else 2

    def decode(blocks: Bytes) -> Numbers:
        values = (_neighbours(blocks[:, start + 4 :]) | _fifth_bits(blocks, start)).astype("f4")
        scale = _scale(blocks, 0, "<f2")
        if minimum:
            return values * scale + _scale(blocks, 2, "<f2")
        return (values - 16) * scale

    return decode


def _q8_v2(blocks: Bytes) -> Numbers:
    return blocks[:, 4:].view("i1").astype("f4") * _scale(blocks, 0, "<f4")


def _q1_0(blocks: Bytes) -> Numbers:
    bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").astype("f4")
    return (2 * bits - 1) * _scale(blocks, 0, "<f2")


def _q2_0(blocks: Bytes) -> Numbers:
    pairs = np.stack([blocks[:, 2:] >> shift & 3 for shift in (0, 2, 4, 6)], axis=2)
    return (pairs.reshape(len(blocks), -1).astype("f4") - 1) * _scale(blocks, 0, "<f2")


_OWN: Mapping[str, Decoder] = {
    "Q4_0 (ggjt-v1)": _q4("<f4", _neighbours, minimum=False),
    "Q4_1 (ggjt-v1)": _q4("<f4", _neighbours, minimum=True),
    PLANAR: _q4("<f4", _neighbours, minimum=True),
    "Q4_2 (ggjt-v1)": _q4("<f2", _neighbours, minimum=False),
    "Q4_3 (ggjt-v1)": _q4("<f2", _neighbours, minimum=True),
    "Q5_0 (ggjt-v1)": _q5_v1(minimum=False),
    "Q5_1 (ggjt-v1)": _q5_v1(minimum=True),
    "Q4_0 (ggjt-v2)": _q4("<f4", _halves, minimum=False),
    "Q4_1 (ggjt-v2)": _q4("<f4", _halves, minimum=True),
    "Q8_0 (ggjt-v2)": _q8_v2,
    "Q1_0": _q1_0,
    "Q2_0": _q2_0,
}


def in_blocks(rows: Bytes, block_bytes: int) -> Bytes:
    """Whole rows of the type ``PLANAR`` as blocks of scale, minimum, nibbles.

    The first quantizers stored a row as all minima, all scales, all nibbles (those of
    bloomz.cpp eba1ab8 and 9614897 do); since the blocks got a struct, ggml stores and reads
    them one by one (ggml.c of 9614897), and the files say nothing of it. A wrong reading
    takes nibbles for float32 numbers, whose exponents are then at random, so the reading
    with more credible scales and minima is taken.
    """
    count = rows.shape[1] // block_bytes
    blocks = rows.reshape(-1, block_bytes)
    minima, scales = rows[:, : 4 * count], rows[:, 4 * count : 8 * count]
    parts = [scales.reshape(-1, 4), minima.reshape(-1, 4), rows[:, 8 * count :].reshape(-1, 16)]
    early = np.concatenate(parts, axis=1)
    return early if _credible(early) > _credible(blocks) else blocks


def _credible(blocks: Bytes) -> int:
    scale, minimum = _scale(blocks, 0, "<f4"), _scale(blocks, 4, "<f4")
    sound = (scale >= 0) & (scale < 2**10) & (np.abs(minimum) < 2**14)
    # Weights have both signs in nearly every block, so its minimum is below zero.
    return int((sound & (minimum <= 0)).sum())
