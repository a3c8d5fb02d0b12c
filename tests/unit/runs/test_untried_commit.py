"""Commits that a tool chain's data was not tried with: plans and reports say so, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.commands.display_plan import _needs
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.planning.resource_needs import Moment
from orchestrator.runs.collect_results import _notes
from orchestrator.runs.preflight import Preview
from orchestrator.toolchain.load import ToolChain
from tests.support.plans import COMMIT, changed, make_chain, make_plan, sources

OTHER = "e" * 40


def of(folder: Path, commit: str, chain: ToolChain | None = None) -> Plan:
    return make_plan(folder, chain=chain or make_chain(folder), found=sources(commit=commit))


def test_another_commit_is_named_beside_the_pinned_one(tmp_path: Path) -> None:
    said = of(tmp_path, OTHER).untried
    assert f"stand {OTHER[:12]} was not tried" in said
    assert f"pinned: {COMMIT[:12]}" in said


def test_the_pin_and_commits_that_were_tried_are_not_mentioned(tmp_path: Path) -> None:
    entry = {"commit": OTHER, "date": "2024-09-25"}
    tried = changed(make_chain(tmp_path), "source.tried", [entry])
    assert of(tmp_path, COMMIT, tried).untried == ""
    assert of(tmp_path, OTHER, tried).untried == ""


@pytest.mark.parametrize(("commit", "times"), [(COMMIT, 0), (OTHER, 1)])
def test_reports_say_it_once(tmp_path: Path, commit: str, times: int) -> None:
    notes = _notes(of(tmp_path, commit), strict=True)
    assert sum("was not tried" in note for note in notes) == times


@pytest.mark.parametrize(("commit", "times"), [(COMMIT, 0), (OTHER, 1)])
def test_a_plan_of_several_recipes_says_it_once(tmp_path: Path, commit: str, times: int) -> None:
    one = Preview(of(tmp_path, commit), None)
    moment = Moment(one.plan.steps[0], disk=0, memory=0)
    assert _needs([one, one], [moment]).count("was not tried") == times


def test_words_for_people_change_no_key(tmp_path: Path) -> None:
    before = of(tmp_path, OTHER)
    entry = {"commit": "d" * 40, "date": "2024-09-25", "about": "slow"}
    after = of(tmp_path, OTHER, changed(before.chain, "source.tried", [entry]))
    assert [step.key for step in after.steps] == [step.key for step in before.steps]


def test_variants_that_hold_are_named_and_what_is_lost_with_them(tmp_path: Path) -> None:
    old = {"about": "", "when": {"file": "x"}, "set": {"verbs": {"plan_quantize": None}}}
    chain = changed(make_chain(tmp_path), "variants", {"no-dry-run": old})

    one = of(tmp_path, OTHER, chain.at(["no-dry-run"]))

    assert one.untried.endswith(
        "was not tried with this data, of which these variants hold: no-dry-run."
    )
    assert one.unable == f"stand {OTHER[:12]}: no exact sizes before converting."
    assert of(tmp_path, COMMIT, chain).unable == ""
