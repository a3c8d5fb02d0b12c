"""The choice of types: least divergence in a size, against all choices that there are."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.modelfiles.gguf import TensorInfo
from orchestrator.workflows.fitting import placements
from orchestrator.workflows.fitting.placements import Option
from orchestrator.workflows.fitting.tensor_groups import Group

TYPES = ("q3_k", "q4_k", "q5_k", "q6_k", "q8_0")
GROUP = Group("ffn_up", "ffn_up", (TensorInfo("ffn_up", (256, 64), 1, "F16", 0, 32768),), TYPES)

some_options = st.lists(
    st.tuples(st.integers(1, 400), st.integers(0, 1000)), min_size=1, max_size=4
).map(
    lambda found: tuple(
        Option(f"t{number}", nbytes, cost / 1000, measured=True)
        for number, (nbytes, cost) in enumerate(found)
    )
)


@given(st.lists(some_options, min_size=1, max_size=4), st.integers(1, 1600))
def test_nothing_of_the_size_is_better_than_what_is_chosen(
    choices: list[tuple[Option, ...]], most: int
) -> None:
    all_of_them = [
        (sum(one.nbytes for one in each), sum(one.divergence for one in each))
        for each in product(*choices)
    ]
    fitting = [cost for nbytes, cost in all_of_them if nbytes <= most]
    best = placements.best_within(placements.front(choices), most)
    if not fitting:
        assert best is None
    else:
        assert best is not None
        assert best.nbytes <= most
        assert best.divergence == pytest.approx(min(fitting))


@given(st.lists(some_options, min_size=1, max_size=4), st.floats(0, 4))
def test_nothing_smaller_keeps_to_a_divergence(
    choices: list[tuple[Option, ...]], most: float
) -> None:
    points = placements.front(choices)
    found = placements.smallest_below(points, most)
    sizes = [
        sum(one.nbytes for one in each)
        for each in product(*choices)
        if sum(one.divergence for one in each) <= most - 1e-9
    ]
    if sizes:
        assert found is not None
        assert found.nbytes <= min(sizes)


def test_what_was_not_measured_lies_on_the_curve_and_more_bits_are_never_worse() -> None:
    found = placements.options(GROUP, {"q4_k": 0.04, "q6_k": 0.0025})
    assert [one.type for one in found] == list(TYPES)
    costs = {one.type: one.divergence for one in found}
    assert (costs["q4_k"], costs["q6_k"]) == (0.04, 0.0025)
    assert costs["q3_k"] > 0.04 > costs["q5_k"] > 0.0025 > costs["q8_0"] > 0
    assert [one.measured for one in found] == [False, True, False, True, False]


def test_a_measurement_that_says_more_bits_are_worse_is_noise() -> None:
    found = placements.options(GROUP, {"q4_k": 0.001, "q6_k": 0.002})
    costs = [one.divergence for one in found]
    assert costs == sorted(costs, reverse=True)


def test_a_group_that_costs_nothing_measurable_still_has_an_order() -> None:
    found = placements.options(GROUP, {"q4_k": 0.0, "q6_k": -1e-6})
    assert all(one.divergence >= 0 for one in found)


def test_a_doubt_concerns_only_what_was_not_measured() -> None:
    found = placements.options(GROUP, {"q4_k": 0.04, "q6_k": 0.0025})
    doubted = placements.doubted(found, 2)
    assert [b.divergence / a.divergence for a, b in zip(found, doubted, strict=True)] == [
        2,
        1,
        2,
        1,
        2,
    ]


def test_a_model_of_many_groups_is_searched_in_bounded_work() -> None:
    choices = [
        tuple(Option(f"t{n}", 10**6 * g + 7919 * n * g, 1 / (n + g), True) for n in range(6))
        for g in range(1, 40)
    ]
    points = placements.front(choices)
    assert len(points) <= 8001 + len(choices)
    assert all(a.nbytes < b.nbytes and a.divergence > b.divergence for a, b in pairwise(points))
