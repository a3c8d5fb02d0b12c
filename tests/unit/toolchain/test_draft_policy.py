"""What a new recipe gets: by size of the model, by bits of the type."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.toolchain import draft_policy, load

POLICY = draft_policy.load(load.load("llama.cpp").folder)


@pytest.mark.parametrize(
    ("bits", "parameters", "increase"),
    [(4.84, 7e9, 0.08), (4.84, 1.5e9, 0.16), (4.84, 135e6, 0.24), (8.5, 7e9, 0.01)],
)
def test_small_models_and_small_types_may_lose_more(
    bits: float, parameters: float, increase: float
) -> None:
    limits = POLICY.limits_for(bits, int(parameters))

    assert limits["max_ppl_increase"] == pytest.approx(increase)


def test_small_models_may_lose_more_of_what_is_at_most_one() -> None:
    large, small = (POLICY.limits_for(8.5, parameters) for parameters in (7 * 10**9, 22 * 10**6))

    assert (large["min_mean_cosine"], small["min_mean_cosine"]) == (0.999, 0.997)


def test_nothing_is_promised_for_the_smallest_types() -> None:
    assert POLICY.limits_for(1.8, 10**10) == {}


def test_limits_only_get_wider_with_fewer_bits() -> None:
    increases = [POLICY.limits_for(bits, 10**10)["max_ppl_increase"] for bits in (8.5, 6, 5, 4, 3)]

    assert increases == sorted(increases)


def test_large_models_are_not_made_in_large_types() -> None:
    assert "Q8_0" in POLICY.types_for(7 * 10**9)
    assert "Q8_0" not in POLICY.types_for(70 * 10**9)


def test_a_tool_chain_without_a_policy_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not say what a new recipe should hold") as caught:
        draft_policy.load(tmp_path)

    assert str(tmp_path / "drafts.yaml") in caught.value.hint


@pytest.mark.parametrize("text", ["types: []", "types: [", "[]", "tipes: []", "types: [{a: 1}]"])
def test_a_wrong_policy_is_told_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "drafts.yaml").write_text(text)

    with pytest.raises(UsageError, match=r"drafts\.yaml") as caught:
        draft_policy.load(tmp_path)

    assert caught.value.hint == "Fix the tool chain's data."
