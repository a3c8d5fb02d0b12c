"""What a card calls a file: by stated thresholds, never good beside a better one of its size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.history import FileRow
from orchestrator.measures import closeness
from orchestrator.measures.closeness import GRADES, LAST
from tests.support.history_records import a_file, with_numbers

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "card-words.md"
NEAR = {"kld": 0.01, "kld_error": 0.0, "same_top": 0.95, "same_top_error": 0.0}


def bare(name: str = "Q4_0", /, **numbers: float | None) -> FileRow:
    plain = a_file(name, perplexity=None, kld=None, generation_per_second=None)
    return with_numbers(plain, **numbers)


def words(**numbers: float | None) -> str:
    row = bare(**numbers)
    return closeness.words(row, [row])


@pytest.mark.parametrize(
    ("kld", "same_top", "increase", "said"),
    [
        (0.0005, 0.99, 0.001, "as good as"),
        (0.01, 0.95, 0.01, "very near"),
        (0.05, 0.9, 0.05, "good for most"),
        (0.2, 0.8, 0.2, "noticeably worse"),
        (0.9, 0.5, 2.0, "much worse"),
        # The worst of the three decides.
        (0.0005, 0.99, 0.05, "good for most"),
        (0.0005, 0.8, 0.001, "noticeably worse"),
        (0.9, 0.99, 0.001, "much worse"),
        (0.01, 0.95, None, "very near"),
        (0.01, 0.95, -0.02, "very near"),
    ],
)
def test_divergence_same_top_and_increase_decide_together(
    kld: float, same_top: float, increase: float | None, said: str
) -> None:
    assert said in words(kld=kld, same_top=same_top, increase=increase)


def test_errors_count_against_a_file() -> None:
    assert "very near" in words(**NEAR, increase=0.019, increase_error=0.0)
    assert "good for most" in words(**NEAR, increase=0.019, increase_error=0.001)
    assert "good for most" in words(**{**NEAR, "kld_error": 0.006})
    assert "good for most" in words(**{**NEAR, "same_top_error": 0.011})


@pytest.mark.parametrize(
    ("bits", "increase", "said"),
    [
        (8.5, None, "as good as the unquantized model, as a rule"),
        (4.85, None, "good for most uses, as a rule"),
        (3.5, None, "noticeably worse, as a rule; where memory is short"),
        (2.1, None, LAST),
        (8.5, 0.05, "good for most uses, as a rule"),
        (4.85, -0.5, "good for most uses, as a rule"),
    ],
)
def test_without_divergence_bits_decide_and_perplexity_only_makes_it_worse(
    bits: float, increase: float | None, said: str
) -> None:
    assert words(bits_per_weight=bits, increase=increase) == said


def test_a_better_file_that_is_no_larger_is_named_instead() -> None:
    far = bare("Q4_0", **{**NEAR, "kld": 0.012, "kld_error": 0.0001})
    near = bare("Q4_K_M", **{**NEAR, "kld_error": 0.0001})
    rows = [far, near]

    assert closeness.words(far, rows) == "Q4_K_M is better at this size"
    assert closeness.words(near, rows) == "very near the unquantized model"
    small = with_numbers(near, size=900_000)
    assert closeness.words(far, [far, small]) == "Q4_K_M is better and smaller"
    large = with_numbers(near, size=1_020_000)
    assert "very near" in closeness.words(far, [far, large])


def test_a_difference_within_the_errors_or_in_both_directions_beats_nobody() -> None:
    told = {**NEAR, "kld_error": 0.001}
    far, near = bare(**{**told, "kld": 0.012}), bare("Q4_1", **told)
    assert closeness.beaten_by(far, [far, near]) is None

    paired = {"perplexity": 5.0, "increase_error": 0.0001}
    far = bare(**{**told, "kld": 0.02, **paired, "increase": 0.01})
    near = bare("Q4_1", **told, **paired, increase=0.015)
    assert closeness.beaten_by(far, [far, near]) is None
    near = with_numbers(near, increase=0.01)
    assert closeness.beaten_by(far, [far, near]) is near


SHARE = st.floats(0, 1)
FILES = st.builds(
    lambda size, kld, error, top, increase: bare(
        size=1_000_000 + size,
        kld=kld,
        kld_error=error,
        same_top=top,
        same_top_error=0.001,
        increase=increase,
        increase_error=0.001,
        perplexity=5.0,
    ),
    st.integers(0, 9_000),
    st.floats(0, 1),
    st.floats(0, 0.01),
    SHARE,
    st.floats(-0.1, 1),
)


@given(FILES, FILES)
def test_no_file_is_called_good_beside_a_better_one_of_its_size(
    one: FileRow, other: FileRow
) -> None:
    one, other = replace(one, type="one"), replace(other, type="other")
    better = one.value("kld") > other.value("kld") + 2 * 0.02  # type: ignore[operator]
    even = one.value("increase") >= other.value("increase")  # type: ignore[operator]

    if better and even:
        assert closeness.words(one, [one, other]) == "other is better at this size"
    both = [closeness.words(row, [one, other]) for row in (one, other)]
    assert not all("is better" in said for said in both)


@given(FILES, SHARE)
def test_what_is_worse_in_everything_never_gets_better_words(row: FileRow, more: float) -> None:
    worse = with_numbers(
        row,
        kld=row.value("kld") + more,  # type: ignore[operator]
        same_top=row.value("same_top") * (1 - more),  # type: ignore[operator]
        increase=row.value("increase") + more,  # type: ignore[operator]
    )
    order = [*(one.words for one in GRADES), LAST]

    places = [order.index(closeness.words(one, [one])) for one in (row, worse)]

    assert places == sorted(places)


def test_the_page_states_the_thresholds() -> None:
    lines = [[cell.strip() for cell in line.split("|")] for line in PAGE.read_text().splitlines()]

    for told in closeness.thresholds():
        assert ["", *told, ""] in lines
