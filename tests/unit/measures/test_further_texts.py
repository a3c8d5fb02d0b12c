"""Perplexity and divergence on several texts: each its own numbers, limits and columns."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.measures import further_texts, registry
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.expectation import Earlier
from orchestrator.runs import judge_measures, report
from orchestrator.runs.judge_measures import Expectation
from orchestrator.runs.report import Report, Row
from tests.support.measures import FULL, MEASURES, asked, measured

OTHER = {"value": 9.0, "error": 0.1, "context": 512, "wanted_chunks": 18, "chunks": 18}
FOUND: dict[str, Any] = measured(
    **{
        "kld (code)": {**MEASURES["kld"], "mean": 0.2, "perplexity": OTHER},
        "perplexity (code)": None,
    }
)
SECTIONS = asked(perplexity={**asked()["perplexity"], "more": {"code": {}}})
WHOLE = {**FULL, "perplexity (code)": {**OTHER, "value": 6.0}}


def checks(**changes: Any) -> dict[str, Check]:
    expected = Expectation(**{"asked": SECTIONS, "full": WHOLE, **changes})
    return {one.name: one for one in judge_measures.judge(FOUND, expected)}


def test_each_text_has_numbers_of_its_own() -> None:
    found = judge_measures.numbers(FOUND, Expectation(asked=SECTIONS, full=WHOLE))

    assert (found["perplexity"]["value"], found["perplexity (code)"]["value"]) == (5.4, 9.0)
    assert found["perplexity"]["increase"] == pytest.approx(0.08)
    assert found["perplexity (code)"]["increase"] == pytest.approx(0.5)
    assert (found["kld"]["mean"], found["kld (code)"]["mean"]) == (0.05, 0.2)


def test_limits_hold_for_every_text_but_that_on_the_perplexity_itself() -> None:
    found = checks(limits={"max_ppl_increase": 0.1, "max_mean_kld": 0.1, "max_ppl": 6.0})

    assert found["perplexity"].status is Status.PASS
    assert found["perplexity (code)"].status is Status.FAIL
    assert "but at most +10 % is allowed" in found["perplexity (code)"].message
    assert found["perplexity (code)"].message.startswith("on code: 9.0000")
    assert found["kld (code)"].status is Status.FAIL


def test_limits_of_a_text_win_there() -> None:
    found = checks(
        limits={"max_ppl_increase": 0.1, "max_mean_kld": 0.1},
        text_limits={"code": {"max_ppl_increase": 0.6, "max_mean_kld": 0.3, "max_ppl": 10.0}},
    )

    assert found["perplexity (code)"].status is Status.PASS
    assert found["kld (code)"].status is Status.PASS


def test_what_is_known_of_the_first_text_is_not_held_against_another() -> None:
    known = {**SECTIONS, "perplexity": {**SECTIONS["perplexity"], "expected": 5.4}}
    found = checks(asked=known, earlier=Earlier(5.0, 0.1, "Monday"), full={}, limits={})

    assert not {name for name in found if "(code)" in name} - {
        "perplexity (code)",
        "kld (code)",
    }


def test_a_text_that_was_not_measured_fails_alone() -> None:
    found = {name: one for name, one in FOUND.items() if name != "kld (code)"}
    expected = Expectation(
        asked=SECTIONS, full=WHOLE, failed=frozenset({"kld (code)", "perplexity (code)"})
    )
    statuses = {one.name: one.status for one in judge_measures.judge(found, expected)}

    assert statuses["kld (code)"] is Status.FAIL
    assert statuses["perplexity (code)"] is Status.FAIL
    assert statuses["kld"] is Status.PASS


def test_each_text_has_columns_of_its_own() -> None:
    numbers = judge_measures.numbers(FOUND, Expectation(asked=SECTIONS, full=WHOLE))
    row = Row("x.gguf", "Q4_0", "", Status.PASS, (), numbers)
    table = report.files_table(Report("x", "", (row,), {}))

    assert "| Perplexity | Δ to F16 | Perplexity (code) | Δ to F16 (code) |" in table
    assert "| KLD, mean (code) |" in table
    assert row.value("perplexity") == 5.4  # reports' own keys are the first text's


def test_names_lead_to_measures_and_texts_and_back() -> None:
    assert registry.named("kld (my code)").name == "kld (my code)"
    assert further_texts.split("kld (my code)") == ("kld", "my code")
    assert further_texts.split("kld") == ("kld", "")
    assert len({one.name for one in registry.measures(("a", "b"))}) == len(
        registry.measures(("a", "b"))
    )
