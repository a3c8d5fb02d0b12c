"""The one writer of recipes: templates filled in so that YAML reads back exactly what was meant.

Names, licences and headers come from strangers: as values they are quoted, in comments they are
kept to one printable line. Pure but for the templates beside this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.base import units

if TYPE_CHECKING:
    from jinja2 import Environment

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./, -]*(?<![ ,])")
_SHOWN = 200
_LONG_KEY = 1000


def render(template: str, values: Mapping[str, Any]) -> str:
    """The text of a recipe.

    Args:
        template: Name of the template.
        values: What it names; a name that is missing is an error.
    """
    return _environment().get_template(f"{template}.yaml.j2").render(values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - heavy

    environment = Environment(
        loader=PackageLoader("orchestrator.workflows.drafting", ""),
        autoescape=False,  # noqa: S701 - YAML, quoted by the filters below
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "quoted": quoted,
        "line": line,
        "mapping": mapping,
        "source": _source,
        "limits": _limits,
        "size": units.size,
    }
    return environment


def quoted(text: str) -> str:
    """A text as a YAML scalar on one line: plain where that reads back as it, else quoted."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    if text.isascii() and text.isprintable() and "'" not in text:
        return f"'{text}'"
    # A width that no text reaches: PyYAML would break long ones into several lines.
    dumped = yaml.safe_dump(text, default_style='"', width=len(text) * 12 + 100)
    return dumped.removesuffix("\n")


def line(text: object) -> str:
    """A value for a comment: one printable line, not too long."""
    flat = " ".join("".join(one if one.isprintable() else " " for one in str(text)).split())
    return flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…"


def mapping(values: Mapping[str, Any], indent: int) -> str:
    """Texts, truth values and mappings of them as lines of YAML, the last without its end."""
    lines = []
    for name, value in values.items():
        key = _key(name, " " * indent)
        if isinstance(value, Mapping):
            lines += [key, mapping(value, indent + 2)]
        elif isinstance(value, bool):
            lines.append(f"{key} {'true' if value else 'false'}")
        else:
            lines.append(f"{key} {quoted(str(value))}")
    return "\n".join(lines)


def _key(name: str, margin: str) -> str:
    """A key with its colon; YAML wants keys of more than 1,024 characters to be marked as such."""
    shown = quoted(name)
    return f"{margin}{shown}:" if len(shown) <= _LONG_KEY else f"{margin}? {shown}\n{margin}:"


def _source(values: Mapping[str, str], indent: int) -> str:
    """Where a text comes from, after its key: a path stands on the key's own line."""
    if values.keys() == {"path"}:
        return f" {quoted(values['path'])}"
    return "\n" + mapping(values, indent)


def _limits(values: Mapping[str, float]) -> str:
    shown = {
        name: f"{value * 100:g}%" if name.endswith("increase") else f"{value:g}"
        for name, value in values.items()
    }
    return ", ".join(f"{name}: {value}" for name, value in shown.items())
