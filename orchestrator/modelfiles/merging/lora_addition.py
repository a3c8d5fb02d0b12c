"""The sums of a LoRA merge, the same bits on every machine.

A product's element is a chain of fused multiply-adds over the rank, from the first on, each
rounded to float32: acc = round(a * b + acc). That is what the matrix products of PyTorch's CPU
builds do for ranks up to at least 128, so the result is peft's there, bit for bit; but they leave
their order to the processor and the number of threads, and this does not. numpy has no fused
operation: the product of two float32 is exact in float64, and the sum is rounded to float64 and
then to float32, which could differ from one rounding in one of about 2**29 additions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.base.errors import StepError
from orchestrator.modelfiles.merging.float16_addition import to_half
from orchestrator.modelfiles.merging.merge_plan import Adapted, Term
from orchestrator.modelfiles.merging.tensor_location import TensorRef, read_all
from orchestrator.modelfiles.safetensors import BITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# Elements at a time: what is computed with stays in a core's second-level cache.
BLOCK = 32 * 1024


def adapted(tensor: Adapted, file: BinaryIO, first: int, count: int) -> Iterator[bytes]:
    """The bytes of a tensor's elements from ``first`` on, some at a time.

    Args:
        tensor: What is made.
        file: That of its left side, unbuffered.
        first: The first element, at the beginning of a row where the tensor has terms.
        count: How many elements.

    Raises:
        StepError: A value is infinite or not a number, or a file became shorter.
    """
    factors = [_factors(term) for term in tensor.terms]
    width = 1 if tensor.copied else BITS[tensor.left.dtype] // 8
    size = max(BLOCK // tensor.row, 1) * tensor.row
    for start in range(first, first + count, size):
        raw = bytearray(min(size, first + count - start) * width)
        file.seek(tensor.left.offset + start * width)
        read_all(file, memoryview(raw), tensor.left)
        if tensor.copied:
            yield bytes(raw)
            continue
        values = widened(raw, tensor.left.dtype)
        expect_finite(values, tensor.name, "the base")
        rows = values.reshape(-1, tensor.row)
        at = start // tensor.row
        for left, right, factor in factors:
            add_product(rows, left[at : at + len(rows)], right, factor)
        made = rounded(values, tensor.dtype)
        expect_finite(widened(made, tensor.dtype), tensor.name, "the sum")
        yield made


def _factors(term: Term) -> tuple[Floats, Floats, float]:
    """The matrices whose product is added, left and right."""
    a, b = _matrix(term.a), _matrix(term.b)
    return (a.T, b.T, term.factor) if term.across else (b, a, term.factor)


def _matrix(ref: TensorRef) -> Floats:
    raw = bytearray(ref.nbytes)
    with ref.file.open("rb", buffering=0) as file:
        file.seek(ref.offset)
        read_all(file, memoryview(raw), ref)
    values = widened(raw, ref.dtype)
    expect_finite(values, ref.name, "the adapter")
    return values.reshape(ref.shape)


def widened(raw: bytes | bytearray, dtype: str) -> Floats:
    """The values of F16, BF16 or F32 bytes as float32, which holds them all exactly."""
    import numpy as np  # noqa: PLC0415 - 0.1 s that only a merge should pay

    if dtype == "BF16":
        bits: NDArray[np.uint32] = np.left_shift(np.frombuffer(raw, "<u2"), 16, dtype=np.uint32)
        return bits.view(np.float32)
    return np.frombuffer(raw, "<f2" if dtype == "F16" else "<f4").astype(np.float32)


def rounded(values: Floats, dtype: str) -> bytes:
    """The bytes of finite float32 values in a type, rounded to nearest even."""
    import numpy as np  # noqa: PLC0415

    if dtype == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    if dtype == "F16":
        out = np.empty(values.size, np.uint16)
        to_half(values.reshape(-1).view(np.uint8), "F32", out)
        return out.tobytes()
    return values.tobytes()


def add_product(to: Floats, left: Floats, right: Floats, factor: float) -> None:
    """Add ``left @ right * factor`` to the rows ``to``, both rounded to float32 each time."""
    import numpy as np  # noqa: PLC0415

    total = np.zeros(to.shape, np.float32)
    wide = np.empty(to.shape, np.float64)
    for column, row in zip(left.T.astype(np.float64), right, strict=True):
        np.multiply(column[:, None], row.astype(np.float64), out=wide)
        np.add(wide, total, out=wide)
        np.copyto(total, wide, casting="same_kind")
    np.multiply(total, np.float32(factor), out=total)
    np.add(to, total, out=to)


def expect_finite(values: Floats, name: str, where: str) -> None:
    """Refuse values that are no finite numbers.

    Raises:
        StepError: With the tensor's name.
    """
    import numpy as np  # noqa: PLC0415

    if not np.isfinite(values).all():
        raise StepError(
            f"{name}: {where} holds a value that is infinite or not a number.",
            "The weights are damaged, or the adapter was made for another base.",
        )
