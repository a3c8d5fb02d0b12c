"""A draft as YAML for people; pure.

Names and licences come from strangers: as values they are quoted so that YAML reads back
exactly the text, in comments they are kept to one printable line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import yaml

from orchestrator.base import units
from orchestrator.workflows.drafting.decide_draft import Draft

if TYPE_CHECKING:
    from jinja2 import Template

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./, -]*(?<![ ,])")
_SHOWN = 120
_MOST_ROWS = 4
_LOOKS = "The capital of France is"
# Models that were taught to answer may comment on a sentence instead of ending it.
_ANSWERS = "Question: What is the capital of France?\nAnswer:"


def recipe(draft: Draft, day: str, schema: str = "") -> str:
    """The text of the recipe.

    Args:
        draft: What it says.
        day: Today, as 2026-01-31.
        schema: Where editors find the JSON Schema of recipes, if it is near.
    """
    found = draft.found
    owner, _, name = found.repo.partition("/")
    return _template().render(
        draft=draft,
        found=found,
        licence=found.licence,
        day=day,
        schema=schema,
        description=f"{name} by {owner}, as {draft.form}",
        prompt=_ANSWERS if found.chat else _LOOKS,
        rows=_rows(draft.rows),
        limited=any(one.limits for one in draft.outputs),
        fallback=any(one.fallback for one in draft.outputs),
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - heavy

    room = Environment(
        loader=PackageLoader("orchestrator.workflows.drafting", ""),
        autoescape=False,  # noqa: S701 - YAML, quoted by the filters below
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    room.filters |= {
        "quoted": quoted,
        "line": line,
        "source": _source,
        "limits": _limits,
        "size": units.size,
    }
    return room.get_template("recipe.yaml.j2")


def quoted(text: str) -> str:
    """A text as a YAML scalar on one line: plain where that reads back as it, else quoted."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    if text.isascii() and text.isprintable() and "'" not in text:
        return f"'{text}'"
    # A width that no text reaches: PyYAML would break long ones into several lines.
    dumped = yaml.safe_dump(text, default_style='"', width=len(text) * 12 + 100)
    return dumped.removesuffix("\n")


def line(text: str) -> str:
    """A text for a comment: one printable line, not too long."""
    flat = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…"


def _source(values: Mapping[str, str], indent: int) -> str:
    """Where a text comes from, after its key: a path stands on the key's own line."""
    if values.keys() == {"path"}:
        return f" {quoted(values['path'])}"
    lines = [f"{' ' * indent}{name}: {quoted(value)}" for name, value in values.items()]
    return "\n" + "\n".join(lines)


def _limits(values: Mapping[str, float]) -> str:
    shown = {
        name: f"{value * 100:g}%" if name.endswith("increase") else f"{value:g}"
        for name, value in values.items()
    }
    return ", ".join(f"{name}: {value}" for name, value in shown.items())


def _rows(rows: tuple[int, ...]) -> str:
    more = " and others" if len(rows) > _MOST_ROWS else ""
    return ", ".join(str(row) for row in rows[:_MOST_ROWS]) + more
