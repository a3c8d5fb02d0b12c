"""Markdown pages from templates: what they insert is made safe by default, by Jinja's own hook.

A filter says what a text is going to be, where it is not to be words: code, a cell, a link,
a word of a shell.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.base.safe_markdown import code, inline, link, python, raw, shell

_FOLDER = Path(__file__).parent


def render(template: str, values: Mapping[str, Any], filters: Mapping[str, Any]) -> str:
    """Fill a template of this package."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - heavy

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - the page is Markdown: see finalize
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=inline,
    )
    environment.filters.update(
        {"code": code, "cell": inline, "link": link, "sh": shell, "py": python, "raw": raw}
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(values)
