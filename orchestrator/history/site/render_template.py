"""Templates to text: everything that is filled in is cleaned and escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.base import shell_words
from orchestrator.history import run_states
from orchestrator.history.site import format_values, time_series
from orchestrator.toolchain import upstream_urls

if TYPE_CHECKING:
    from jinja2 import Environment, Template

HERE = Path(__file__).parent
STYLE = "site.css"
SCRIPT = "site.js"


def static(name: str) -> str:
    """The text of the style sheet or the script."""
    return (HERE / "static" / name).read_text("utf-8")


def render(name: str, values: Mapping[str, Any]) -> str:
    """One page."""
    return template(name).render(**values)


def template(name: str) -> Template:
    """A template, compiled when it is first asked for."""
    return _environment().get_template(name)


def script_hash(text: str) -> str:
    """What a content security policy calls a script or style in the page."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - heavy

    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_filled,
    )
    made.filters |= {
        "command": shell_words.command,
        "day": format_values.day,
        "duration": format_values.duration,
        "filename": format_values.filename,
        "minute": format_values.minute,
        "short": format_values.short,
        "rounded": format_values.rounded,
        "tail": tail,
    }
    made.globals |= {
        "commit_url": upstream_urls.commit_url,
        "run_state": run_states.of,
        "named": time_series.named,
        "span": format_values.between,
    }
    return made


def _filled(value: Any) -> Any:
    """What an expression puts into a page; markup was cleaned where it was made."""
    if type(value) is str:
        return format_values.plain(value)
    return "" if value is None else value


def tail(text: str, limit: int = 12_000) -> str:
    """The end of a long text, from a whole line on."""
    if len(text) <= limit:
        return text
    return "…\n" + text[-limit:].partition("\n")[2]
