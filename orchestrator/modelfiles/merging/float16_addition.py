"""Float16 arithmetic on numpy arrays of raw bits, bit-identical to torch on a CPU.

torch adds two halves by converting both to float32, adding, and rounding to nearest even.
numpy's own float16 addition gives the same bits but takes 10 ns per element; the integer
form below takes 0.9 ns (scripts/bench_merge.py). It rests on this: the bits of a half, moved
to where float32 keeps exponent and mantissa, are the half's value times 2**-112 as a float32,
subnormals included (they become float32 subnormals, which add exactly). So one float32
addition of two such values has the right rounding, and the low 13 bits are what is left to
round. Infinities and NaNs do not survive the move; they are looked for separately.

Both this and :func:`to_half` were compared with torch 2.13.0 on every pair of finite halves
and on every float32 and bfloat16 that is not NaN; the unit tests repeat a part of it.

The addition of the package numkong is used, which converts in hardware and takes 0.1 ns, but only
after it gave the same bits as the form above for a sample that holds every half: it chooses among
many implementations by processor.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from orchestrator.base.errors import EnvironmentProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Bits = NDArray[np.uint16]
    Addition = Callable[[Bits, Bits, Bits], None]

# Elements per pass: scratch of 8 bytes each stays in a core's second-level cache.
BLOCK = 128 * 1024
_MANTISSA_SHIFT = 23 - 10
# All bits but the three between float32's sign and the exponent of a moved half.
_SIGN_AND_VALUE = -0x7000_0001
# The least bits of a positive and, read as unsigned, of a negative value that is not finite.
_INFINITY, _MINUS_INFINITY = 0x7C00, 0xFC00


class HalfAdder:
    """Adds arrays of float16 bits; owns the scratch memory, so one per thread.

    Args:
        block: Elements per pass of the portable form.
        native: Whether numkong may be used where it is installed.

    Raises:
        EnvironmentProblem: the machine is big-endian.
    """

    def __init__(self, block: int = BLOCK, native: bool = True) -> None:
        import numpy as np  # noqa: PLC0415 - 0.1 s that only a merge should pay

        if sys.byteorder != "little":
            raise EnvironmentProblem("Merging needs a little-endian machine.")
        self._block = block
        self._left = np.empty(block, np.int32)
        self._right = np.empty(block, np.int32)

        self._native = _trusted_addition(self._add_portably) if native else None

    def add(self, left: Bits, right: Bits, out: Bits) -> None:
        """Write ``left + right`` to ``out``; arrays of one length, ``out`` may be an input.

        Both must be finite (see :func:`is_finite`). A sum that is too large for float16 comes
        out as some value that is not finite.
        """
        (self._native or self._add_portably)(left, right, out)

    def _add_portably(self, left: Bits, right: Bits, out: Bits) -> None:
        for start in range(0, left.size, self._block):
            part = slice(start, start + self._block)
            self._add_block(left[part], right[part], out[part])

    def _add_block(self, left: Bits, right: Bits, out: Bits) -> None:
        import numpy as np  # noqa: PLC0415

        total, spare = self._left[: left.size], self._right[: left.size]
        _widen(left, total)
        _widen(right, spare)
        as_float = total.view(np.float32)
        np.add(as_float, spare.view(np.float32), out=as_float)
        # Round to nearest even: add half a unit less one, plus the last bit that is kept.
        np.right_shift(total, _MANTISSA_SHIFT, out=spare)
        np.bitwise_and(spare, 1, out=spare)
        np.add(spare, (1 << (_MANTISSA_SHIFT - 1)) - 1, out=spare)
        np.add(total, spare, out=total)
        # Exponent and mantissa down to bit 14, the sign to bit 15, the rest is cut off.
        np.right_shift(total, 16, out=spare)
        np.bitwise_and(spare, 0x8000, out=spare)
        np.right_shift(total, _MANTISSA_SHIFT, out=total)
        np.bitwise_or(total, spare, out=total)
        np.copyto(out, total, casting="unsafe")


def _trusted_addition(trusted: Addition) -> Addition | None:
    """Return numkong's addition if it is installed and does what ``trusted`` does."""
    import numpy as np  # noqa: PLC0415

    try:
        numkong = importlib.import_module("numkong")
    except ImportError:
        return None

    def add(left: Bits, right: Bits, out: Bits) -> None:
        one, other, into = (array.view(np.float16) for array in (left, right, out))
        numkong.add(one, other, out=into)

    return add if _agree(add, trusted) else None


def _agree(addition: Addition, trusted: Addition) -> bool:
    """Whether two additions give the same bits for every half and 16 partners."""
    import numpy as np  # noqa: PLC0415

    values = np.arange(1 << 16, dtype=np.uint16)
    values = values[(values & 0x7FFF) < _INFINITY]
    found, expected = np.empty_like(values), np.empty_like(values)
    for number in range(16):
        # Partners of all distances, and lengths that are no multiple of a vector's.
        partners, size = np.roll(values, 3967 * number), values.size - number
        addition(values[:size], partners[:size], found[:size])
        trusted(values[:size], partners[:size], expected[:size])
        both = _each_finite(found[:size]) | _each_finite(expected[:size])
        if not np.array_equal(found[:size][both], expected[:size][both]):
            return False
    return True


def _each_finite(values: Bits) -> NDArray[np.bool_]:
    return (values & 0x7FFF) < _INFINITY


def is_finite(values: Bits) -> bool:
    """Whether none of ``values`` is infinite or NaN."""
    if not values.size:
        return True
    return bool(values.view("i2").max() < _INFINITY and values.max() < _MINUS_INFINITY)


def _widen(half: Bits, out: NDArray[np.int32]) -> None:
    """Write each half's bits to the places of a float32: its value times 2**-112."""
    import numpy as np  # noqa: PLC0415

    np.copyto(out, half.view(np.int16))  # the sign fills the upper bits
    np.left_shift(out, _MANTISSA_SHIFT, out=out)
    np.bitwise_and(out, _SIGN_AND_VALUE, out=out)


def to_half(raw: NDArray[np.uint8], dtype: str, out: Bits) -> None:
    """Round ``raw``, the bytes of F16, BF16 or F32 values, to the float16 bits ``out``.

    Rounds to nearest even, too large values become infinite, as torch's ``.to(float16)``.
    """
    import numpy as np  # noqa: PLC0415

    if dtype == "F16":
        np.copyto(out, raw.view(np.uint16))
        return
    source = raw.view(np.uint16 if dtype == "BF16" else np.float32)
    for start in range(0, out.size, BLOCK):
        values = source[start : start + BLOCK]
        if dtype == "BF16":  # the upper half of a float32
            values = np.left_shift(values, 16, dtype=np.uint32).view(np.float32)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            np.copyto(out[start : start + BLOCK].view(np.float16), values, casting="same_kind")
