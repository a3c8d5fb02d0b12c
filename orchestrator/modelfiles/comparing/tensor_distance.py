"""How far two tensors are apart: blocks and bytes that differ, and dequantized values."""

from __future__ import annotations

import numpy as np

from orchestrator.modelfiles.comparing.comparison import ValueDifference
from orchestrator.modelfiles.comparing.dequantize import Bytes, Decoder, Numbers, decoder, in_blocks
from orchestrator.modelfiles.comparing.opened_files import PLANAR, Located

# Elements at a time: bounds the memory that dequantizers take, up to some 100 bytes each.
BATCH = 2**17
_WORDS = {2: "u2", 4: "u4", 8: "u8"}


class Distance:
    """Adds up what differs between two tensors of one shape, from pieces in any order."""

    def __init__(self, a: Located, b: Located, values: bool = True) -> None:
        self.differing_blocks = self.differing_bytes = 0
        self._a, self._b = a, b
        self._decode = _decoders(a, b) if values else None
        self._sum = self._largest = 0.0
        self._not_finite = 0

    @property
    def values(self) -> ValueDifference | None:
        """The differences as numbers; None when a type cannot be dequantized."""
        if self._decode is None:
            return None
        return ValueDifference(self._largest, self._sum / self._a.n_elements, self._not_finite)

    def add(self, a: bytearray, b: bytearray) -> None:
        """Take in a piece of both: whole blocks of the same elements, at least as bytes."""
        left, right = _blocks(a, self._a), _blocks(b, self._b)
        if self._a.type != self._b.type:
            self._add_values(left, right, self._a.block, self._b.block)
            return
        differs = _differing(left, right)
        left, right = left[differs], right[differs]
        self.differing_blocks += len(left)
        self.differing_bytes += int((left != right).sum())
        self._add_values(left, right, self._a.block, self._b.block)

    def _add_values(self, a: Bytes, b: Bytes, block_a: int, block_b: int) -> None:
        if self._decode is None:
            return
        for first in range(0, len(a) * block_a, BATCH):
            left = a[first // block_a : (first + BATCH) // block_a]
            right = b[first // block_b : (first + BATCH) // block_b]
            self._add_numbers(*self._numbers(left, right, self._decode))

    @staticmethod
    def _numbers(a: Bytes, b: Bytes, decode: tuple[Decoder, Decoder]) -> tuple[Numbers, Numbers]:
        with np.errstate(all="ignore"):  # damaged scales overflow; they are counted below
            return decode[0](a).reshape(-1), decode[1](b).reshape(-1)

    def _add_numbers(self, a: Numbers, b: Numbers) -> None:
        sound = np.isfinite(a) & np.isfinite(b)
        if not sound.all():
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            self._not_finite += int((~sound & ~same).sum())
            a, b = a[sound], b[sound]
        apart = np.abs(np.subtract(a, b, dtype=np.float64))
        self._sum += float(apart.sum())
        self._largest = max(self._largest, float(apart.max(initial=0.0)))


def _decoders(a: Located, b: Located) -> tuple[Decoder, Decoder] | None:
    left, right = decoder(a.type), decoder(b.type)
    return (left, right) if left and right else None


def _blocks(data: bytearray, tensor: Located) -> Bytes:
    raw = np.frombuffer(data, np.uint8)
    if tensor.type == PLANAR:
        return in_blocks(raw.reshape(-1, tensor.row_bytes), tensor.block_bytes)
    return raw.reshape(-1, tensor.block_bytes)


def _differing(a: Bytes, b: Bytes) -> Bytes:
    """Which blocks differ, as booleans."""
    word = _WORDS.get(a.shape[1])
    if word:  # one comparison per element, where a block is one
        found: Bytes = (a.view(word) != b.view(word))[:, 0]
        return found
    different: Bytes = (a != b).any(axis=1)
    return different
