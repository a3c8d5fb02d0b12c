"""What passes, warns and fails, and that each verdict says its numbers."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.runs.check_status import Check, Status
from orchestrator.runs.judge_measures import (
    Expectation,
    Reference,
    judge,
    perplexity_increase,
    verdict,
)
from tests.support.measures import MEASURES, measured


def check(name: str, measures: dict[str, Any] | None = None, **expected: Any) -> Check:
    checks = judge(measures or MEASURES, Expectation(**expected))
    [found] = [one for one in checks if one.name == name]
    return found


def test_a_good_file_without_limits_passes_and_every_check_speaks() -> None:
    checks = judge(MEASURES, Expectation(smoke="Paris"))
    assert verdict(checks) is Status.PASS
    assert all(one.message for one in checks)
    assert [one.name for one in checks] == [
        "structure",
        "census",
        "size",
        "bits_per_weight",
        "smoke",
        "smoke_python",
        "perplexity",
        "kld",
        "speed",
        "sha256",
    ]


@pytest.mark.parametrize(
    ("difference", "word"),
    [
        ({"missing": ["output.weight"]}, "1 tensors missing (output.weight)"),
        ({"extra": ["a", "b", "c", "d"]}, "4 tensors too many (a, b, c, ...)"),
        ({"reshaped": [{"name": "x", "shape": [1], "full": [2]}]}, "1 tensors reshaped (x)"),
    ],
)
def test_other_tensors_than_the_full_files_fail(difference: dict[str, Any], word: str) -> None:
    structure = {**MEASURES["structure"], **difference}
    found = check("structure", measured(structure=structure))
    assert found.status is Status.FAIL
    assert word in found.message


def test_structure_says_when_nothing_was_compared() -> None:
    structure = {"version": 3, "layout": "gguf", "compared": False}
    found = check("structure", measured(structure=structure))
    assert found.status is Status.PASS
    assert "full file" not in found.message


FALLBACKS = ({"tensor": "blk.0.attn_q.weight", "wanted": "q4_K", "got": "q5_0"},)


def test_a_fallback_fails_unless_it_is_accepted() -> None:
    refused = check("census", fallbacks=FALLBACKS)
    assert refused.status is Status.FAIL
    assert "blk.0.attn_q.weight to q5_0" in refused.message
    assert "allow_fallback: true" in refused.message
    accepted = check("census", fallbacks=FALLBACKS, allow_fallback=True)
    assert accepted.status is Status.WARN
    assert accepted.numbers["fallbacks"] == 1
    assert "1 of 28 tensors" in accepted.message


def test_the_census_shows_fallbacks_the_quantizer_kept_quiet_about() -> None:
    found = check("census", mix=("Q4_K",))
    assert found.status is Status.FAIL
    assert found.numbers["fallbacks"] == 3
    assert "Q6_K" in found.message
    assert check("census", mix=("q4_k", "q6_k")).status is Status.PASS


@pytest.mark.parametrize(
    ("name", "limit", "kept", "broken"),
    [
        ("size", "max_size", 1_200_000, 1_199_999),
        ("bits_per_weight", "max_bits_per_weight", 4.84, 4.83),
        ("perplexity", "max_ppl", 5.4, 5.39),
        ("perplexity", "max_ppl_increase", 0.081, 0.079),
        ("kld", "max_mean_kld", 0.05, 0.049),
        ("kld", "min_same_top", 0.9, 0.901),
    ],
)
def test_each_limit_is_kept_at_its_value_and_broken_beyond(
    name: str, limit: str, kept: float, broken: float
) -> None:
    good = check(name, limits={limit: kept})
    assert good.status is Status.PASS
    assert "allowed" in good.message
    bad = check(name, limits={limit: broken})
    assert bad.status is Status.FAIL
    assert bad.numbers[limit] == broken


def test_a_broken_limit_is_said_with_both_numbers() -> None:
    found = check("perplexity", limits={"max_ppl_increase": 0.05, "max_ppl": 9.0})
    assert found.message == "5.4000 ± 0.0200, +8.00 % against F16, but at most +5 % is allowed"


def test_all_broken_limits_are_said() -> None:
    found = check("kld", limits={"max_mean_kld": 0.01, "min_same_top": 0.99})
    assert "a mean of 0.01" in found.message
    assert "at least 99 % same top" in found.message


@pytest.mark.parametrize(
    ("name", "missing", "limits", "verb"),
    [
        ("perplexity", "perplexity", {"max_ppl_increase": 0.1}, "logits"),
        ("kld", "kld", {"max_mean_kld": 0.1}, "divergence"),
    ],
)
def test_a_limit_on_what_was_not_measured_never_passes(
    name: str, missing: str, limits: dict[str, float], verb: str
) -> None:
    assert check(name, measured(**{missing: None}), limits=limits).status is Status.FAIL
    assert check(name, measured(**{missing: None})).status is Status.SKIP
    lacking = measured(**{missing: None}, unavailable=[verb])
    assert check(name, lacking, limits=limits).status is Status.WARN
    assert check(name, lacking).status is Status.SKIP


def test_an_increase_over_an_unknown_perplexity_fails() -> None:
    perplexity = {**MEASURES["perplexity"], "base": None}
    found = check("perplexity", measured(perplexity=perplexity), limits={"max_ppl_increase": 0.5})
    assert found.status is Status.FAIL
    assert "F16's is not known" in found.message


def test_the_base_of_the_same_pass_wins_over_the_full_files_perplexity() -> None:
    assert perplexity_increase(MEASURES, 2.7) == pytest.approx(0.08)
    other = measured(perplexity={**MEASURES["perplexity"], "base": None})
    assert perplexity_increase(other, 2.7) == pytest.approx(1.0)
    assert perplexity_increase(other, None) is None
    assert perplexity_increase(measured(perplexity=None), 2.7) is None


def test_smoke_tests_search_the_continuation() -> None:
    assert check("smoke", smoke=r"\bParis\b").status is Status.PASS
    wrong = check("smoke_python", smoke="Lyon")
    assert wrong.status is Status.FAIL
    assert "'Paris, of course.'" in wrong.message
    assert "'Lyon'" in wrong.message


def test_an_empty_continuation_fails_whatever_is_expected() -> None:
    silent = measured(smoke={"cli": " \n", "python": None})
    assert check("smoke", silent, smoke="").status is Status.FAIL
    assert check("smoke_python", silent).status is Status.SKIP


def test_an_expected_smoke_test_that_did_not_run_fails() -> None:
    assert check("smoke", measured(smoke=None), smoke="Paris").status is Status.FAIL
    assert check("smoke", measured(smoke=None)).status is Status.SKIP


def test_checksums() -> None:
    assert check("sha256", sha256="ab").status is Status.SKIP
    assert check("sha256", sha256="ab", expected_sha256="AB").status is Status.PASS
    wrong = check("sha256", sha256="ab", expected_sha256="cd")
    assert wrong.status is Status.FAIL
    assert "ab" in wrong.message
    assert "cd" in wrong.message


def test_published_numbers_warn_when_they_are_far_off() -> None:
    near = Reference("u", perplexity=5.41, size=1_190_000, context=512, chunks=8)
    assert check("reference_perplexity", reference=near).status is Status.PASS
    assert check("reference_size", reference=near).status is Status.PASS
    far = Reference("u", perplexity=6.0, bits_per_weight=4.5, context=512, chunks=8)
    assert check("reference_perplexity", reference=far).status is Status.WARN
    assert check("reference_bits_per_weight", reference=far).status is Status.WARN
    assert "published 6" in check("reference_perplexity", reference=far).message


@pytest.mark.parametrize(
    ("name", "share"), [("perplexity", 0.01), ("size", 0.04), ("bits_per_weight", 0.005)]
)
def test_a_published_number_may_be_off_by_so_much(name: str, share: float) -> None:
    found = MEASURES[name]["value"] if name == "perplexity" else MEASURES[name]

    def status(off: float) -> Status:
        published = Reference("u", context=512, chunks=8, **{name: found / (1 + off)})
        return check(f"reference_{name}", reference=published).status

    assert status(0.98 * share) is status(-0.98 * share) is Status.PASS
    assert status(1.02 * share) is status(-1.02 * share) is Status.WARN


@pytest.mark.parametrize(("context", "chunks"), [(2048, 8), (512, None), (None, 8)])
def test_a_perplexity_measured_otherwise_is_only_told(context: int, chunks: int) -> None:
    other = Reference("u", perplexity=6.0, context=context, chunks=chunks)
    assert check("reference_perplexity", reference=other).status is Status.SKIP


def test_all_chunks_are_the_same_setting_as_none_stated() -> None:
    perplexity = {**MEASURES["perplexity"], "wanted_chunks": -1}
    whole = Reference("u", perplexity=5.4, context=512)
    measures = measured(perplexity=perplexity)
    assert check("reference_perplexity", measures, reference=whole).status is Status.PASS


def test_without_limits_stand_ins_pass_what_only_real_weights_can() -> None:
    limits = {
        "max_size": 1,
        "max_bits_per_weight": 1,
        "max_ppl": 1,
        "max_ppl_increase": 0,
        "max_mean_kld": 0.001,
        "min_same_top": 1,
    }
    reference = Reference("u", perplexity=1.0, size=1, bits_per_weight=1.0, context=512, chunks=8)
    expected = {
        "limits": limits,
        "smoke": "Lyon",
        "sha256": "ab",
        "expected_sha256": "cd",
        "reference": reference,
    }
    strict = judge(MEASURES, Expectation(**expected))  # type: ignore[arg-type]
    failing = {one.name for one in strict if one.status in (Status.FAIL, Status.WARN)}
    assert len(failing) == 10
    loose = judge(MEASURES, Expectation(**expected, strict=False))  # type: ignore[arg-type]
    assert verdict(loose) is Status.PASS
    off = {one.name for one in loose if one.status is Status.SKIP}
    assert off == failing
    assert all("real weights" in one.message for one in loose if one.name in off)


def test_without_limits_structure_and_fallbacks_still_count() -> None:
    broken = measured(structure={**MEASURES["structure"], "missing": ["x"]})
    assert check("structure", broken, strict=False).status is Status.FAIL
    assert check("census", fallbacks=FALLBACKS, strict=False).status is Status.FAIL
    unmeasured = measured(kld=None, perplexity=None)
    loose = {"limits": {"max_mean_kld": 0.1, "max_ppl": 3}, "strict": False}
    assert check("kld", unmeasured, **loose).status is Status.SKIP


def test_speed_is_told_and_partial_speed_too() -> None:
    assert "8.00 ms per token (125.0 tokens per second)" in check("speed").message
    only = {"source": "smoke", "generation": MEASURES["speed"]["generation"]}
    assert "prompt" not in check("speed", measured(speed=only)).message
    assert check("speed", measured(speed=None)).status is Status.SKIP


def test_verdict_is_the_worst_and_ignores_skips() -> None:
    def of(*statuses: Status) -> Status:
        return verdict(Check("x", status, "") for status in statuses)

    assert of(Status.PASS, Status.SKIP) is Status.PASS
    assert of(Status.PASS, Status.WARN) is Status.WARN
    assert of(Status.WARN, Status.FAIL, Status.PASS) is Status.FAIL
    assert of(Status.SKIP) is Status.SKIP
    assert of() is Status.SKIP
