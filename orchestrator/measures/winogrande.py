"""Winogrande: which of two words a model puts into a gap."""

from __future__ import annotations

from orchestrator.measures.task_scores import Tasks, measure_of

TASKS = Tasks(
    "winogrande",
    "Winogrande",
    110,
    "The tasks as CSV: number, sentence with _ for the gap, two words, 1 or 2 for the right one.",
)
MEASURE = measure_of(TASKS)
