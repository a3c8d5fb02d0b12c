"""Multiple choice: which of several answers a model finds most likely."""

from __future__ import annotations

from orchestrator.measures.task_scores import Tasks, measure_of

TASKS = Tasks(
    "multiple_choice",
    "multiple choice",
    120,
    "The tasks in the binary layout of llama.cpp's perplexity tool, with at most 16 answers each. "
    "The tool puts a space before each answer: one that begins with its own is another text, and "
    "scores as chance or worse.",
)
MEASURE = measure_of(TASKS)
