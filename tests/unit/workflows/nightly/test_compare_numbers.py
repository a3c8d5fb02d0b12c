"""Which changes raise an alarm, and that each sentence says from what to what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.history import FileRow
from orchestrator.measures import registry
from orchestrator.recipe.verify_section import Alarms
from orchestrator.workflows.nightly.compare_numbers import Pair, Speeds, changes, slower
from tests.support.history_records import a_file, with_numbers

LIMITS = Alarms()
GENERATION = registry.named("speed").number("generation_per_second")


def raised(
    verdict: str = "identical", limits: Alarms = LIMITS, before: FileRow | None = None, **after: Any
) -> list[tuple[str, str]]:
    start = before or a_file()
    pair = Pair(start, with_numbers(start, **after), verdict)
    return [(one.what, one.message) for one in changes(pair, limits, "night 4")]


def test_what_stays_the_same_is_silent() -> None:
    assert raised() == []


def test_other_bytes_ring_unless_the_recipe_says_how_near_is_near_enough() -> None:
    assert raised("near") == [
        ("bytes", "the bytes are near, but not identical to, those of night 4")
    ]
    assert raised("different") == [("bytes", "the bytes are different from those of night 4")]
    assert raised("same tensors") == [("bytes", "the bytes are not identical to those of night 4")]
    assert raised("same tensors", Alarms.model_validate({"bytes": "same-tensors"})) == []
    assert raised("near", Alarms.model_validate({"bytes": "same-tensors"}))
    assert raised("different", Alarms.model_validate({"bytes": False})) == []


@pytest.mark.parametrize(
    ("what", "within", "beyond", "said"),
    [
        ("perplexity", 5.049, 5.051, "the perplexity went from 5.0000 to 5.0510 (+1.02 %)"),
        ("perplexity", 4.951, 4.949, "the perplexity went from 5.0000 to 4.9490 (-1.02 %)"),
        ("kld", 0.0109, 0.0111, "the mean KL divergence went from 0.010000 to 0.011100 (+11.00 %)"),
        ("size", 1_009_000, 1_011_000, "the size went from 1.00 MB to 1.01 MB (+1.10 %)"),
    ],
)
def test_numbers_ring_beyond_their_limit_only(
    what: str, within: float, beyond: float, said: str
) -> None:
    near: dict[str, Any] = {what: within}
    far: dict[str, Any] = {what: beyond}

    assert raised(**near) == []
    assert raised(**far) == [(what, f"{said} since night 4")]
    assert raised(limits=Alarms.model_validate({what: False}), **far) == []


def test_an_alarm_says_better_or_worse_only_beyond_the_error() -> None:
    before = a_file(increase=0.01, increase_error=0.001, kld_error=0.0001)

    [(_, worse)] = raised(before=before, perplexity=5.06, increase=0.022)
    [(_, unseen)] = raised(before=before, perplexity=5.06, increase=0.022, increase_error=0.02)
    [(_, better)] = raised(before=before, kld=0.008)

    assert "(+1.20 %; worse) since night 4" in worse
    assert "(+1.20 %; no difference seen) since night 4" in unseen
    assert "(-20.00 %; better) since night 4" in better


def test_a_tenth_of_next_to_no_divergence_is_silent() -> None:
    assert raised(before=a_file(kld=0.00001), kld=0.0004) == []


def test_numbers_that_one_night_lacks_are_not_compared() -> None:
    assert raised(perplexity=None, kld=None) == []


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_an_alarm_is_raised_the_same_both_ways_of_equal_distance(before: float, off: float) -> None:
    start = a_file(perplexity=before)
    up = raised(before=start, perplexity=before + off)
    down = raised(before=start, perplexity=before - off)

    assert len(up) == len(down)


def speed(*values: float, limits: Alarms = LIMITS) -> list[str]:
    return [one.message for one in slower(Speeds("f", GENERATION, values), limits)]


def test_a_speed_alarm_goes_by_medians_of_nights_not_by_one_slow_night() -> None:
    assert speed(50, 100, 100, 100, 100, 100) == []
    assert speed(50, 50, 100, 100, 101, 99) == [
        "the generation speed went from 100.0 to 50.0 tokens/s (-50.0 %), by the medians of 3 "
        "and 3 nights"
    ]
    assert speed(81, 81, 81, 100, 100, 100) == []
    assert speed(50, 50, 50, 100, 100, 100, limits=Alarms.model_validate({"speed": False})) == []


def test_a_faster_machine_and_too_few_nights_are_silent() -> None:
    assert speed(200, 200, 200, 100, 100, 100) == []
    assert speed(1, 1, 1, 100, 100) == []
    assert speed(1, 1) == []


def test_only_the_latest_nights_count() -> None:
    assert speed(50, 50, 50, 50, 50, 50, 50, 50, 50, 50, *[100.0] * 50) == []
