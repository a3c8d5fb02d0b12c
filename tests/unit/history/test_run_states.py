"""The states of runs: one name each, the same in the reference of the JSON."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.history import run_records, run_states

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference" / "json.md"


def test_every_state_of_the_history_has_a_label_of_its_own() -> None:
    labels = [state.label for state in run_states.LEGEND]

    assert len(set(labels)) == len(labels)
    assert run_states.label(run_records.LEFT) == "not started (time)"


def test_the_reference_lists_every_state_from_the_worst_on() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", REFERENCE.read_text("utf-8"), re.M)

    states = [state for state in run_states.LEGEND if state is not run_states.UNCHANGED]
    expected = [
        (state.name, state.label, state.meaning)
        for state in sorted(states, key=lambda state: state.rank)
    ]
    assert [row for row in rows if row[0] in {state.name for state in states}] == expected


@pytest.mark.parametrize(
    ("states", "worst"),
    [([], "ok"), (["ok", "left", "warning"], "left"), (["environment", "alarm"], "alarm")],
)
def test_the_worst_of_several_states_is_theirs_together(states: list[str], worst: str) -> None:
    assert run_states.worst(states) == worst
