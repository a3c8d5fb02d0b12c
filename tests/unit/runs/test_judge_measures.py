"""What passes, warns and fails, and that each verdict says its numbers."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.measures.check_status import Check, Status
from orchestrator.runs.judge_measures import Expectation, Reference, judge, numbers, verdict
from tests.support.measures import FULL, MEASURES, asked, measured

HEADER = MEASURES["header"]


def wanted(smoke: str | None = "", **expected: Any) -> Expectation:
    """What is expected of a file; ``smoke`` is what must be found in its text."""
    section = None if smoke is None else {"expect": smoke}
    return Expectation(**{"full": FULL, "asked": asked(smoke=section), **expected})


def check(name: str, measures: dict[str, Any] | None = None, **expected: Any) -> Check:
    checks = judge(measures or MEASURES, wanted(**expected))
    [found] = [one for one in checks if one.name == name]
    return found


def test_a_good_file_without_limits_passes_and_every_check_speaks() -> None:
    checks = judge(MEASURES, wanted("Paris"))
    assert verdict(checks) is Status.PASS
    assert all(one.message for one in checks)
    assert [one.name for one in checks] == [
        "structure",
        "census",
        "size",
        "bits_per_weight",
        "load",
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
        ({"missing": ["output.weight"]}, "1 tensor missing (output.weight)"),
        ({"extra": ["a", "b", "c", "d"]}, "4 tensors too many (a, b, c, ...)"),
        ({"reshaped": [{"name": "x", "shape": [1], "full": [2]}]}, "1 tensor reshaped (x)"),
    ],
)
def test_other_tensors_than_the_full_files_fail(difference: dict[str, Any], word: str) -> None:
    structure = {**HEADER["structure"], **difference}
    found = check("structure", measured(header={**HEADER, "structure": structure}))
    assert found.status is Status.FAIL
    assert word in found.message


def test_structure_says_when_nothing_was_compared() -> None:
    structure = {"version": 3, "layout": "gguf", "compared": False}
    found = check("structure", measured(header={**HEADER, "structure": structure}))
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
        ("kld", "max_p99_kld", 0.4, 0.39),
        ("kld", "max_kld", 1.0, 0.99),
        ("kld", "max_rms_change", 0.04, 0.039),
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
    assert found.message == (
        "5.4000 ± 0.0200, +8.00 % ± 1.08 % against F16, but at most +5 % is allowed"
    )


def test_all_broken_limits_are_said() -> None:
    found = check("kld", limits={"max_mean_kld": 0.01, "min_same_top": 0.99})
    assert "a mean of 0.01" in found.message
    assert "at least 99 % same top" in found.message


@pytest.mark.parametrize(
    ("name", "limits"),
    [("perplexity", {"max_ppl_increase": 0.1}), ("kld", {"max_mean_kld": 0.1})],
)
def test_a_limit_on_what_was_not_measured_never_passes(name: str, limits: dict[str, float]) -> None:
    bare = measured(**{name: None})
    assert check(name, bare, limits=limits).status is Status.FAIL
    assert check(name, bare).status is Status.SKIP
    lacking = frozenset({name})
    assert check(name, bare, limits=limits, lacking=lacking).status is Status.WARN
    assert check(name, bare, lacking=lacking).status is Status.SKIP


@pytest.mark.parametrize("name", ["load", "smoke", "smoke_python", "perplexity", "kld", "speed"])
def test_a_measure_that_failed_never_passes(name: str) -> None:
    bare = measured(**{"smoke": None, name: None})
    assert check(name, bare, failed=frozenset({name})).status is Status.FAIL


def test_a_file_that_nobody_loaded_fails_unless_the_tool_chain_cannot() -> None:
    assert check("load", measured(load=None)).status is Status.FAIL
    checks = judge(measured(load=None), wanted(lacking=frozenset({"load"})))
    assert "load" not in {one.name for one in checks}


def test_an_increase_over_an_unknown_perplexity_fails() -> None:
    found = check("perplexity", full={}, limits={"max_ppl_increase": 0.5})
    assert found.status is Status.FAIL
    assert "F16's is not known" in found.message


def increase(measures: dict[str, Any], full: dict[str, Any]) -> float | int | None:
    return numbers(measures, wanted(full=full)).get("perplexity", {}).get("increase")


def test_the_increase_is_over_the_full_files_own_perplexity_on_the_same_pieces() -> None:
    assert increase(MEASURES, FULL) == pytest.approx(0.08)
    assert increase(MEASURES, {}) is None
    assert increase(measured(perplexity=None), FULL) is None
    other = {"perplexity": {**FULL["perplexity"], "chunks": 4}}
    assert increase(MEASURES, other) is None


def test_the_perplexity_found_with_the_divergence_counts_as_the_files() -> None:
    kld = {**MEASURES["kld"], "perplexity": MEASURES["perplexity"]}
    assert increase(measured(perplexity=None, kld=kld), FULL) == pytest.approx(0.08)


@pytest.mark.parametrize(("value", "seen"), [(5.09, False), (5.11, True), (4.89, True)])
def test_a_difference_within_its_error_is_said_to_be_none(value: float, seen: bool) -> None:
    perplexity = {**MEASURES["perplexity"], "value": value}
    found = check("perplexity", measured(perplexity=perplexity))
    assert ("no difference seen" not in found.message) is seen


def test_few_pieces_of_text_are_told() -> None:
    few = {**MEASURES["perplexity"], "chunks": 8}
    assert "on only 8 pieces of text" in check("perplexity", measured(perplexity=few)).message
    assert "pieces" not in check("perplexity").message


def test_smoke_tests_search_the_continuation() -> None:
    assert check("smoke", smoke=r"\bParis\b").status is Status.PASS
    wrong = check("smoke_python", smoke="Lyon")
    assert wrong.status is Status.FAIL
    assert "'Paris, of course.'" in wrong.message
    assert "'Lyon'" in wrong.message


def test_an_empty_continuation_fails_whatever_is_expected() -> None:
    silent = measured(smoke={"text": " \n"}, smoke_python=None)
    assert check("smoke", silent, smoke="").status is Status.FAIL
    assert check("smoke_python", silent, smoke=None).status is Status.SKIP


def test_an_expected_smoke_test_that_did_not_run_fails() -> None:
    assert check("smoke", measured(smoke=None), smoke="Paris").status is Status.FAIL
    assert check("smoke", measured(smoke=None), smoke=None).status is Status.SKIP


def test_checksums() -> None:
    assert check("sha256", sha256="ab").status is Status.SKIP
    assert check("sha256", sha256="ab", expected_sha256="AB").status is Status.PASS
    wrong = check("sha256", sha256="ab", expected_sha256="cd")
    assert wrong.status is Status.FAIL
    assert "ab" in wrong.message
    assert "cd" in wrong.message


def published(context: int | None, chunks: int | None, **stated: float) -> Reference:
    return Reference("u", stated, context, chunks)


def test_published_numbers_warn_when_they_are_far_off() -> None:
    near = published(512, 18, perplexity=5.41, size=1_190_000)
    assert check("reference_perplexity", reference=near).status is Status.PASS
    assert check("reference_size", reference=near).status is Status.PASS
    far = published(512, 18, perplexity=6.0, bits_per_weight=4.5)
    assert check("reference_perplexity", reference=far).status is Status.WARN
    assert check("reference_bits_per_weight", reference=far).status is Status.WARN
    assert "published 6" in check("reference_perplexity", reference=far).message


@pytest.mark.parametrize(
    ("name", "share"), [("perplexity", 0.01), ("size", 0.04), ("bits_per_weight", 0.005)]
)
def test_a_published_number_may_be_off_by_so_much(name: str, share: float) -> None:
    found = MEASURES["perplexity"]["value"] if name == "perplexity" else HEADER[name]

    def status(off: float) -> Status:
        stated = published(512, 18, **{name: found / (1 + off)})
        return check(f"reference_{name}", reference=stated).status

    assert status(0.98 * share) is status(-0.98 * share) is Status.PASS
    assert status(1.02 * share) is status(-1.02 * share) is Status.WARN


@pytest.mark.parametrize(("context", "chunks"), [(2048, 18), (512, None), (None, 18)])
def test_a_perplexity_measured_otherwise_is_only_told(context: int, chunks: int) -> None:
    other = published(context, chunks, perplexity=6.0)
    assert check("reference_perplexity", reference=other).status is Status.SKIP


def test_all_chunks_are_the_same_setting_as_none_stated() -> None:
    perplexity = {**MEASURES["perplexity"], "wanted_chunks": -1}
    whole = published(512, None, perplexity=5.4)
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
    reference = published(512, 18, perplexity=1.0, size=1, bits_per_weight=1.0)
    expected = {
        "limits": limits,
        "sha256": "ab",
        "expected_sha256": "cd",
        "reference": reference,
    }
    strict = judge(MEASURES, wanted("Lyon", **expected))
    failing = {one.name for one in strict if one.status in (Status.FAIL, Status.WARN)}
    assert len(failing) == 10
    loose = judge(MEASURES, wanted("Lyon", **expected, strict=False))
    assert verdict(loose) is Status.PASS
    off = {one.name for one in loose if one.status is Status.SKIP}
    assert off == failing
    assert all("real weights" in one.message for one in loose if one.name in off)


def test_without_limits_structure_and_fallbacks_still_count() -> None:
    structure = {**HEADER["structure"], "missing": ["x"]}
    broken = measured(header={**HEADER, "structure": structure})
    assert check("structure", broken, strict=False).status is Status.FAIL
    assert check("census", fallbacks=FALLBACKS, strict=False).status is Status.FAIL
    unmeasured = measured(kld=None, perplexity=None)
    loose = {"limits": {"max_mean_kld": 0.1, "max_ppl": 3}, "strict": False}
    assert check("kld", unmeasured, **loose).status is Status.SKIP


def test_speed_is_told_and_partial_speed_too() -> None:
    assert "8.00 ms per token (125.0 tokens per second)" in check("speed").message
    only = {"source": "smoke", "generation": MEASURES["speed"]["generation"]}
    assert "prompt" not in check("speed", measured(speed=only)).message
    unasked = {"measures": measured(speed=None), "asked": {}}
    assert check("speed", **unasked).status is Status.SKIP


def test_without_a_benchmark_the_speed_is_the_smoke_tests() -> None:
    found = check("speed", measured(speed=None), lacking=frozenset({"speed"}))
    assert found.status is Status.PASS
    assert "generation 8.00 ms per token (125.0 tokens per second)" in found.message


def test_verdict_is_the_worst_and_ignores_skips() -> None:
    def of(*statuses: Status) -> Status:
        return verdict(Check("x", status, "") for status in statuses)

    assert of(Status.PASS, Status.SKIP) is Status.PASS
    assert of(Status.PASS, Status.WARN) is Status.WARN
    assert of(Status.WARN, Status.FAIL, Status.PASS) is Status.FAIL
    assert of(Status.SKIP) is Status.SKIP
    assert of() is Status.SKIP


def test_what_the_file_says_otherwise_than_its_source_fails_or_warns() -> None:
    said = [{"said": "the end token is 1", "wrong": True}, {"said": "no BOS", "wrong": False}]
    checks = [one for one in judge(MEASURES, wanted(contradictions=said)) if one.name == "configs"]

    assert [(one.status, one.message) for one in checks] == [
        (Status.FAIL, "the end token is 1"),
        (Status.WARN, "no BOS"),
    ]
    loose = judge(MEASURES, wanted(contradictions=said, strict=False))
    assert "configs" not in {one.name for one in loose}


def test_matrices_of_one_value_that_a_run_without_limits_accepted_fail_a_run_with_limits() -> None:
    found = check("values", constant=["blk.0.up", "blk.1.up"])

    assert found.status is Status.FAIL
    assert found.message.startswith("2 matrices of one value, such as blk.0.up")
    assert found.numbers == {"tensors": ["blk.0.up", "blk.1.up"]}
    names = {one.name for one in judge(MEASURES, wanted(constant=["blk.0.up"], strict=False))}
    assert "values" not in names
