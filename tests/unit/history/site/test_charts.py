"""Fronts, axes, labels and pictures: right for any values."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.history.site import chart_scales, label_placement, scatter_chart, svg, trend_chart
from orchestrator.history.site.label_placement import Box
from orchestrator.history.site.pareto_front import pareto

NUMBERS = st.floats(min_value=0, max_value=100, allow_nan=False)
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30)


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


@settings(deadline=None)
@given(POINTS)
def test_the_front_is_exactly_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    wanted = {n for n, one in enumerate(points) if not any(beats(other, one) for other in points)}

    assert set(pareto(points)) == wanted


@settings(deadline=None)
@given(POINTS)
def test_the_front_falls_as_sizes_rise(points: list[tuple[float, float]]) -> None:
    found = [points[number] for number in pareto(points)]

    assert all(a == b or (a[0] < b[0] and a[1] > b[1]) for a, b in pairwise(found))


@example(low=1.0, span=400001.0, most=2)  # no multiple of the widest step lies in between
@settings(deadline=None)
@given(
    st.floats(min_value=-1e6, max_value=1e6),
    st.floats(min_value=1e-4, max_value=1e6),
    st.integers(min_value=2, max_value=10),
)
def test_ticks_are_even_round_and_within(low: float, span: float, most: int) -> None:
    high = low + span

    found = chart_scales.ticks(low, high, most)

    assert 1 <= len(found) <= most + 1
    assert all(low - span * 1e-6 <= value <= high + span * 1e-6 for value in found)
    steps = [b - a for a, b in pairwise(found)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-3) for step in steps)
    for step in steps:
        leading = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert any(math.isclose(leading, one, rel_tol=1e-2) for one in (1, 2, 5, 10))


@settings(deadline=None)
@given(st.floats(min_value=1e-7, max_value=1e3), st.floats(min_value=1.01, max_value=1e6))
def test_logarithmic_ticks_rise_within(low: float, factor: float) -> None:
    found = chart_scales.log_ticks(low, low * factor)

    assert found
    assert list(found) == sorted(set(found))
    assert all(low * 0.999 <= value <= low * factor * 1.001 for value in found)


@settings(deadline=None)
@given(st.lists(st.floats(min_value=1e-6, max_value=1e9), min_size=1, max_size=20), st.booleans())
def test_every_value_has_its_place_on_the_axis(values: list[float], log: bool) -> None:
    scale = chart_scales.fitted(values, 10.0, 200.0, log=log)

    places = [scale.at(value) for value in sorted(values)]

    assert all(10.0 <= place <= 200.0 for place in places)
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((7.0, 7.5, 8.0), ["7.0", "7.5", "8.0"]),
        ((0.0, 20.0, 40.0), ["0", "20", "40"]),
        ((0.0001, 0.001, 0.01), ["0.0001", "0.001", "0.01"]),
        ((0.03, 0.1, 0.3, 1.0), ["0.03", "0.1", "0.3", "1"]),
    ],
)
def test_ticks_are_told_apart_with_few_digits(values: tuple[float, ...], shown: list[str]) -> None:
    assert [chart_scales.label(value, values) for value in values] == shown


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(min_value=60, max_value=550),
            st.floats(min_value=20, max_value=290),
            st.sampled_from(["Q4_0", "Q4_K_M", "IQ3_XXS", "Q8_0"]),
        ),
        max_size=25,
    )
)
def test_labels_beside_points_never_lie_on_each_other(
    wanted: list[tuple[float, float, str]],
) -> None:
    room = Box(50, 0, 560, 300)

    found = label_placement.around(
        [(x, y) for x, y, _ in wanted], [text for *_, text in wanted], room
    )

    boxes = [one.box for one in found if one is not None]
    assert all(box.within(room) for box in boxes)
    assert not any(a.meets(b) for n, a in enumerate(boxes) for b in boxes[n + 1 :])


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=300), max_size=15))
def test_labels_in_a_column_keep_their_order_and_distance(wanted: list[float]) -> None:
    found = label_placement.column(wanted, 0, 300, 15)

    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    heights = [found[number] for number in order]
    assert all(-1e-6 <= height <= 300 + 1e-6 for height in heights)
    assert all(b - a >= 15 - 1e-6 for a, b in pairwise(heights))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=12),
            st.floats(min_value=1e-9, max_value=1e12),
            st.floats(min_value=-1e9, max_value=1e9),
        ),
        min_size=1,
        max_size=12,
    ),
    st.booleans(),
)
def test_any_values_make_a_well_formed_picture(
    rows: list[tuple[str, float, float]], log: bool
) -> None:
    dots = [scatter_chart.Dot(text, x, y, text) for text, x, y in rows]
    level = scatter_chart.Level(rows[0][0], rows[0][2], rows[0][1])
    axes = scatter_chart.Axes("<x>", "y", log)
    lines = [trend_chart.Line(text, ((1e8, y), (1e9, x))) for text, x, y in rows]
    time = trend_chart.Time(0.0, 2e9, (trend_chart.Mark(5e8, rows[0][0], alarm=log),), (7e8,))

    for drawn in (
        scatter_chart.draw("a", rows[0][0], dots, axes, level),
        trend_chart.draw("b", rows[0][0], "y", lines, time, log=log),
    ):
        picture = ElementTree.fromstring(drawn)
        assert "nan" not in drawn.replace(svg.text(rows[0][0]), "")
        assert len(picture) > len(rows)


def test_names_of_commits_give_way_to_those_with_alarms() -> None:
    places = [0.0, 10.0, 20.0, 70.0, 100.0]

    assert label_placement.thinned(places, 50.0, [1]) == [1, 3]


def test_a_line_keeps_its_changes_and_its_ends() -> None:
    points = [(0.0, 1.0), (1.0, 1.0), (2.0, 3.0), (3.0, 3.0), (4.0, 3.0)]

    assert trend_chart.changes(points) == [(0.0, 1.0), (2.0, 3.0), (4.0, 3.0)]
    assert trend_chart.corners(points) == [(0.0, 1.0), (1.0, 1.0), (2.0, 3.0), (4.0, 3.0)]


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=2_000_000_000), st.integers(1, 3000))
def test_days_are_midnights_within_and_not_too_many(start: int, count: int) -> None:
    end = start + count * 86400

    found = trend_chart.days(start, end)

    assert len(found) <= 8
    assert all(start <= at <= end and at % 86400 == 0 for at in found)
