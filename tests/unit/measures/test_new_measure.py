"""A measure that no other module has heard of is shown wherever numbers are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.commands import display_history, display_run
from orchestrator.history import FileRow, History, site
from orchestrator.history.site import run_report_page
from orchestrator.measures import registry
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import Column, Measure, Number, Numbers
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.runs import report
from orchestrator.runs.judge_measures import judge, numbers, verdict
from orchestrator.runs.report import Report, Row
from tests.support.history_records import a_file, a_run
from tests.support.measures import measured

FACTS = {"share": 0.625, "error": 0.01}


def _read(facts: Facts, _expectation: Expectation) -> Numbers:
    return facts.get("riddles") or {}


def _judge(measure: Measure, facts: Facts, _expectation: Expectation) -> Iterator[Check]:
    if facts.get(measure.name):
        yield Check(measure.name, Status.PASS, "62.50 % of the riddles", {})


NEW = Measure(
    name="riddles",
    order=200,
    judge=_judge,
    read=_read,
    numbers=(
        Number("share", "riddles", better="higher", error="error", unit="share", quality=True),
        Number("error", "error of the riddles"),
    ),
    columns=(
        Column(
            "Riddles",
            lambda found: f"{(found['share'] or 0) * 100:.1f} %",
            ("report", "terminal", "card", "site", "history"),
            "share",
        ),
    ),
)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_them = (*registry.measures(), NEW)
    monkeypatch.setattr(registry, "measures", lambda _texts=(): all_of_them)


def described() -> Report:
    facts, wanted = measured(riddles=FACTS), Expectation()
    checks = judge(facts, wanted)
    row = Row("tiny-Q4_0.gguf", "Q4_0", "", verdict(checks), checks, numbers(facts, wanted))
    return Report("tiny", "", (row,), {})


def a_row() -> FileRow:
    plain = a_file()
    return replace(plain, numbers={**plain.numbers, "riddles": FACTS})


def test_reports_and_the_terminal_show_it() -> None:
    found = described()

    assert "| Riddles |" in report.markdown(found)
    assert "62.50 % of the riddles" in report.markdown(found)
    assert report.as_json(found)["files"][0]["measures"]["riddles"] == FACTS
    assert "62.5 %" in display_run._files(found)
    page = run_report_page.report_page(report.as_json(found))
    assert "62.5 %" in page
    assert "Riddles, % against size" in page


def test_the_history_keeps_it_and_shows_it(tmp_path: Path) -> None:
    history = History(tmp_path)
    night = history.begin_night({})
    run = a_run(history, a_row(), a_file("F16", kld=None), night=night)

    assert history.files([run])[run][0] == a_row()
    assert "62.5 %" in display_history.text(history, "tiny", 5, Path)

    site.write(history, tmp_path / "site")
    page = (tmp_path / "site" / "recipes" / "tiny.html").read_text()
    lines = (tmp_path / "site" / "recipes" / "tiny.csv").read_text().splitlines()
    assert "62.5 %" in page
    assert "<title" in page
    assert "Riddles, % against size" in page
    told = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert (told["riddles_share"], told["riddles_error"]) == ("0.625", "0.01")
