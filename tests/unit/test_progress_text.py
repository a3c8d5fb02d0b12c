"""How far a step has come, as text."""

from __future__ import annotations

import pytest

from orchestrator.console import shown
from orchestrator.records import Progress


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(12, 180, "tensors"), "12/180 tensors"),
        (Progress(3, 0, "chunks"), "3 chunks"),
        (Progress(45, 100, "%"), "45%"),
        (Progress(1_500_000, 3_000_000, "B"), "1.50 MB of 3.00 MB"),
        (Progress(1_500_000, 0, "B"), "1.50 MB"),
        (Progress(0, 0, note="speed"), "speed"),
        (Progress(2, 8, "chunks", note="divergence"), "divergence 2/8 chunks"),
        (Progress(0, 0), ""),
    ],
)
def test_progress_is_a_few_words(progress: Progress, text: str) -> None:
    assert shown(progress) == text
