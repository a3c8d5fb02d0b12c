"""What steps noted, as warnings of the report."""

from __future__ import annotations

from orchestrator.base.step_values import JSON, Step
from orchestrator.runs import step_notes
from orchestrator.runs.report import Warned


def test_notes_are_told_once_with_their_step_and_numbers() -> None:
    steps = [Step("quantize", f"quantize to {key}", key, {}, {}) for key in ("a", "b", "c", "d")]
    note = {"message": "1 tensor without weights", "numbers": {"count": 1}}
    manifests: dict[str, dict[str, JSON]] = {
        "a": {"facts": {"notes": [note]}},
        "b": {"facts": {"notes": [note, "a sentence of an older version"]}},
        "c": {"facts": {}},
    }

    assert step_notes.of(steps, manifests) == (
        Warned("quantize to a", "1 tensor without weights", {"count": 1}),
        Warned("quantize to b", "a sentence of an older version"),
    )
