"""HellaSwag: which of four ends of a story a model finds most likely."""

from __future__ import annotations

from orchestrator.measures.task_scores import Tasks, measure_of

TASKS = Tasks(
    "hellaswag",
    "HellaSwag",
    100,
    "The tasks: six lines each, a beginning, the number of the right end (from 0), four ends.",
)
MEASURE = measure_of(TASKS)
