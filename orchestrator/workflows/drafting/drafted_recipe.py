"""A draft as the text of a recipe; pure."""

from __future__ import annotations

from orchestrator.workflows.drafting import recipe_yaml
from orchestrator.workflows.drafting.decide_draft import Draft

_MOST_ROWS = 4
_LOOKS = "The capital of France is"
# Models that were taught to answer may comment on a sentence instead of ending it.
_ANSWERS = "Question: What is the capital of France?\nAnswer:"


def recipe(draft: Draft, day: str) -> str:
    """The text of the recipe.

    Args:
        draft: What it says.
        day: Today, as 2026-01-31.
    """
    found = draft.found
    owner, _, name = found.named.partition("/")
    values = {
        "draft": draft,
        "found": found,
        "licence": found.licence,
        "day": day,
        "description": f"{name} by {owner}, as {draft.form}",
        "prompt": _ANSWERS if found.chat else _LOOKS,
        "rows": _rows(draft.rows),
        "limited": any(one.limits for one in draft.outputs),
        "fallback": any(one.fallback for one in draft.outputs),
    }
    return recipe_yaml.render("drafted", values)


def _rows(rows: tuple[int, ...]) -> str:
    more = " and others" if len(rows) > _MOST_ROWS else ""
    return ", ".join(str(row) for row in rows[:_MOST_ROWS]) + more
