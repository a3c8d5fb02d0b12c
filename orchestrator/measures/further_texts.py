"""Measures on further texts: each as on the first one, under a name of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.measures.check_status import Check
from orchestrator.measures.definition import Measure, Numbers
from orchestrator.measures.expectation import Expectation, Facts

_NAMED = re.compile(r"(?P<what>\w+) \((?P<text>[^()]+)\)")


def name_of(what: str, text: str) -> str:
    """What something is called that belongs to a further text; itself for the first."""
    return f"{what} ({text})" if text else what


def split(name: str) -> tuple[str, str]:
    """The name without its text, and the text; empty for the first text."""
    found = _NAMED.fullmatch(name)
    return (found["what"], found["text"]) if found else (name, "")


def of(names: Iterable[str]) -> tuple[str, ...]:
    """The further texts that these names are of, in their order."""
    return tuple(dict.fromkeys(text for _, text in map(split, names) if text))


def asked(sections: Mapping[str, Any]) -> tuple[str, ...]:
    """The further texts that a recipe's sections name."""
    return tuple((sections.get("perplexity") or {}).get("more") or ())


def on(measure: Measure, text: str) -> Measure:
    """The same measure, read from and held against what belongs to a further text.

    Its numbers have no keys of their own: those in reports are the first text's.
    """

    def read(facts: Facts, expectation: Expectation) -> Numbers:
        return measure.read(_own(facts, text), _expectation(measure, expectation, text))

    def judge(_measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
        told = _expectation(measure, expectation, text)
        for check in measure.judge(measure, _own(facts, text), told):
            said = f"on {text}: {check.message}"
            yield replace(check, name=name_of(check.name, text), message=said)

    work = measure.work
    assert work is not None
    return replace(
        measure,
        name=name_of(measure.name, text),
        read=read,
        judge=judge,
        work=replace(
            work,
            doing=f"{work.doing} on {text}",
            on=text,
            covered_by=name_of(work.covered_by, text) if work.covered_by else "",
        ),
        numbers=tuple(
            replace(one, key="", title=name_of(one.title, text)) for one in measure.numbers
        ),
        limits=(),
        columns=tuple(replace(one, title=name_of(one.title, text)) for one in measure.columns),
        note="",
    )


def _own(facts: Facts, text: str) -> Facts:
    """What was found on a text, under the names that it has on the first."""
    parts = {split(name): found for name, found in facts.items()}
    return {name: found for (name, of_text), found in parts.items() if of_text == text}


def _expectation(measure: Measure, expectation: Expectation, text: str) -> Expectation:
    """What is expected on a text: limits of any text, and its own, which win."""
    own_text = {one.key for one in measure.limits if one.one_text}
    anywhere = {key: value for key, value in expectation.limits.items() if key not in own_text}
    lacking, failed = (
        frozenset(what for what, of_text in map(split, names) if of_text == text)
        for names in (expectation.lacking, expectation.failed)
    )
    # What is known of the first text's perplexity says nothing about another's.
    own = {**(expectation.asked.get("perplexity") or {}), "expected": None}
    return replace(
        expectation,
        asked={**expectation.asked, "perplexity": own},
        earlier=None,
        limits={**anywhere, **expectation.text_limits.get(text, {})},
        full=_own(expectation.full, text),
        lacking=lacking,
        failed=failed,
    )
