from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base import units
from orchestrator.base.errors import UsageError


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (3_910_000_000, "3.91 GB"),
        (13_476_925_163, "13.5 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_have_three_digits(count: float, text: str) -> None:
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1000", 1000),
        ("12 B", 12),
        ("50GB", 50_000_000_000),
        ("50 GB", 50_000_000_000),
        ("50G", 50_000_000_000),
        ("50GiB", 50 << 30),
        ("9223372036854775807", 2**63 - 1),
        ("4000000000.0", 4_000_000_000),
        ("1.5 GiB", 3 << 29),
        ("2kB", 2000),
        ("2KiB", 2048),
        (" 1 TB ", 10**12),
    ],
)
def test_sizes_are_read(text: str, count: int) -> None:
    assert units.parse_size(text) == count


@pytest.mark.parametrize(
    "text",
    [
        *("", "GB", "1.2.3GB", "-1GB", "-5", "1 PB", "10%", "1 iB", "3.9", "1e9", "\u0661GB"),
        *("nan", "inf", "-inf", "9223372036854775808", "9999999999 TB", "9" * 5000),
    ],
)
def test_what_is_no_size_is_refused_with_the_way_to_write_one(text: str) -> None:
    with pytest.raises(UsageError, match="50GiB") as caught:
        units.parse_size(text)
    assert len(caught.value.message) < 150


@given(st.integers(min_value=0, max_value=10**15))
def test_a_shown_size_is_read_back_within_its_digits(count: int) -> None:
    assert units.parse_size(units.size(count)) == pytest.approx(count, rel=0.006)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (232, "3 min 52 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


def test_one_is_singular() -> None:
    assert [units.plural(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


@pytest.mark.parametrize(
    ("share", "sign", "shown"),
    [
        (0.08, False, "8.00 %"),
        (0.08, True, "+8.00 %"),
        (-0.0123, True, "-1.23 %"),
        (-4.4e-06, True, "+0.00 %"),
        (-4.4e-06, False, "0.00 %"),
        (-0.0, True, "+0.00 %"),
    ],
)
def test_percentages_have_no_minus_before_zero(share: float, sign: bool, shown: str) -> None:
    assert units.percent(share, sign=sign) == shown
