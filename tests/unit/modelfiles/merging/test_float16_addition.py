"""The integer float16 arithmetic against numpy's own, which rounds as torch does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from orchestrator.modelfiles.merging.float16_addition import HalfAdder, is_finite, to_half

EVERY_HALF = np.arange(1 << 16, dtype=np.uint16)
FINITE = EVERY_HALF[(EVERY_HALF & 0x7FFF) < 0x7C00]
# Zeros, least and greatest subnormals, least normals, halves of units, one, the greatest.
CORNERS = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x0401, 0x1000]
CORNERS += [0x1001, 0x3C00, 0xBC00, 0x3C01, 0x4C00, 0x4FFF, 0x7BFF, 0xFBFF, 0x7BFE, 0x7800]


def reference(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        total = left.view(np.float16).astype(np.float32) + right.view(np.float16)
        return total.astype(np.float16).view(np.uint16)


def check(left: np.ndarray, right: np.ndarray) -> None:
    """Both forms of the addition; the faster one only where it is installed."""
    expected = reference(left, right)
    fits = (expected & 0x7FFF) < 0x7C00
    for native in (False, True):
        out = np.empty_like(left)
        HalfAdder(native=native).add(left, right, out)
        assert np.array_equal((out & 0x7FFF) < 0x7C00, fits)
        assert np.array_equal(out[fits], expected[fits])


@pytest.mark.parametrize("corner", CORNERS)
def test_a_corner_plus_every_finite_half(corner: int) -> None:
    check(np.full(FINITE.size, corner, np.uint16), FINITE)


def test_random_pairs() -> None:
    rng = np.random.default_rng(5)
    check(rng.choice(FINITE, 1 << 20), rng.choice(FINITE, 1 << 20))


@pytest.mark.parametrize("bad", EVERY_HALF[(EVERY_HALF & 0x7FFF) >= 0x7C00][::97])
def test_infinite_and_nan_are_found(bad: int) -> None:
    values = FINITE.copy()
    assert is_finite(values)
    assert is_finite(values[:0])
    values[900] = bad
    assert not is_finite(values)


def test_the_least_sum_that_overflows() -> None:
    greatest, out = np.array([0x7BFF], np.uint16), np.empty(1, np.uint16)
    HalfAdder().add(greatest, np.array([0x4BFF], np.uint16), out)  # 65504 + 15.99
    assert is_finite(out)
    HalfAdder().add(greatest, np.array([0x4C00], np.uint16), out)  # 65504 + 16
    assert not is_finite(out)


def test_sum_may_replace_an_input_and_spans_blocks() -> None:
    rng = np.random.default_rng(6)
    left = rng.choice(FINITE[(FINITE & 0x7FFF) < 0x7800], 1000)
    right = left[::-1] ^ np.uint16(0x8000)
    expected = reference(left, right)
    HalfAdder(block=64, native=False).add(left, right, out=right)
    assert np.array_equal(right, expected)


class Addition(ModuleType):
    """A stand-in for numkong that calls ``function``."""

    def __init__(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        super().__init__("numkong")
        self.function = function
        self.calls = 0

    def add(self, left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
        self.calls += 1
        with np.errstate(over="ignore"):
            out[:] = self.function(left, right)


def flushed(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """What a processor does that takes subnormals for zero."""
    total: np.ndarray = left + right
    total[np.abs(total) < np.float16(2**-14)] = 0
    return total


def truncated(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    wide = left.astype(np.float32) + right
    wide.view(np.uint32)[:] &= np.uint32(0xFFFFE000)
    half: np.ndarray = wide.astype(np.float16)
    return half


@pytest.mark.parametrize("wrong", [flushed, truncated])
def test_a_faster_addition_with_other_bits_is_not_used(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    fake = Addition(wrong)
    monkeypatch.setitem(sys.modules, "numkong", fake)
    adder = HalfAdder()
    tried, out = fake.calls, np.empty(1, np.uint16)
    assert tried
    adder.add(np.array([0x3C00], np.uint16), np.array([0x1001], np.uint16), out)
    assert fake.calls == tried
    assert out[0] == 0x3C01


def test_a_faster_addition_with_the_same_bits_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Addition(np.add)
    monkeypatch.setitem(sys.modules, "numkong", fake)
    adder = HalfAdder()
    tried = fake.calls
    adder.add(FINITE[:10], FINITE[:10], np.empty(10, np.uint16))
    assert fake.calls == tried + 1


def test_without_a_faster_addition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numkong", None)
    out = np.empty(1, np.uint16)
    HalfAdder().add(np.array([0x3C00], np.uint16), np.array([0x3C00], np.uint16), out)
    assert out[0] == 0x4000


def test_every_bfloat16_rounds_to_nearest_even() -> None:
    out = np.empty(1 << 16, np.uint16)
    to_half(EVERY_HALF.view(np.uint8), "BF16", out)
    wide = (EVERY_HALF.astype(np.uint32) << 16).view(np.float32)
    real = ~np.isnan(wide)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = wide.astype(np.float64).astype(np.float16).view(np.uint16)
    assert np.array_equal(out[real], expected[real])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1 + 2**-11, 0x3C00),  # a tie, to even: down
        (1 + 3 * 2**-11, 0x3C02),  # a tie, to even: up
        (1 + 2**-11 + 2**-23, 0x3C01),
        (2.0**-25, 0x0000),  # half the least subnormal, to even
        (1.5 * 2.0**-24, 0x0002),
        (-(2.0**-26), 0x8000),
        (65519.0, 0x7BFF),
        (65520.0, 0x7C00),
        (-1e30, 0xFC00),
        (1e-40, 0x0000),
    ],
)
def test_a_float32_rounds_to_nearest_even(value: float, expected: int) -> None:
    out = np.empty(1, np.uint16)
    to_half(np.array([value], np.float32).view(np.uint8), "F32", out)
    assert out[0] == expected


def test_halves_stay_as_they_are() -> None:
    out = np.empty(1 << 16, np.uint16)
    to_half(EVERY_HALF.view(np.uint8), "F16", out)
    assert np.array_equal(out, EVERY_HALF)
