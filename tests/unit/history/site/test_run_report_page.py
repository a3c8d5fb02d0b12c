"""The page of one run: all in one file."""

from __future__ import annotations

import re
from typing import Any

from orchestrator.history.site import render_template, run_report_page
from tests.support.history_records import a_file
from tests.support.rendered_pages import HOSTILE, drawings, parsed


def a_report(**changes: Any) -> dict[str, Any]:
    check = {"name": "size", "status": "pass", "message": "as predicted", "numbers": {}}
    rows = [a_file(), a_file("F16", file="F16, for comparison", kld=None)]
    values: dict[str, Any] = {
        "name": "tiny",
        "description": "",
        "status": "pass",
        "pins": {"tool chain": "llama.cpp 1234"},
        "notes": [],
        "warnings": [{"step": "s", "message": "Experts unreached.", "numbers": {}}],
        "source": {"step": "s", "message": "All 21 tensors are there.", "numbers": {}},
        "files": [{**row.as_json(), "checks": [check]} for row in rows],
        "steps": [{"label": "convert", "seconds": 2.0, "calls": [{"argv": ["python", "a b"]}]}],
    }
    return {**values, **changes}


def test_a_report_is_one_page_that_needs_nothing_else() -> None:
    text = run_report_page.report_page(a_report())

    tags = parsed(text).tags
    addresses = [values.get("href", values.get("src", "")) for _, values in tags]
    assert {one for one in addresses if one and one[:5] != "data:"} == {"#main", "tiny-Q4_0.gguf"}
    assert "python 'a b'" in text.replace("&#39;", "'")
    assert len(drawings(text)) == 2
    assert "Experts unreached." in text
    assert "All 21 tensors are there." in text


def test_reports_of_older_versions_have_pages_too() -> None:
    older = a_report()
    del older["warnings"], older["source"]

    assert "Warnings" not in run_report_page.report_page(older)


def test_what_a_report_says_is_not_obeyed() -> None:
    rows = a_report()["files"]
    rows[0].update(file="javascript:alert(1)", type=HOSTILE)
    calls = [{"argv": [HOSTILE]}]
    steps = [{"label": HOSTILE, "seconds": 1.0, "calls": calls}]
    pins = {HOSTILE: HOSTILE}

    text = run_report_page.report_page(a_report(files=rows, name=HOSTILE, steps=steps, pins=pins))

    tags = parsed(text).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert not [values for _, values in tags if "onerror" in values]
    assert 'href="javascript:' not in text


def test_the_policy_of_a_report_allows_its_own_script_and_style_only() -> None:
    text = run_report_page.report_page(a_report())

    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    for name, tag in (("style", "style"), ("script", "script")):
        (inner,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
        assert render_template.script_hash(inner).replace("'", "&#39;") in policy, name
