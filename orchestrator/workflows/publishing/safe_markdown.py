"""Text of strangers in a Markdown page: made safe by default, by Jinja's own hook.

What a template inserts is escaped unless a filter has said what it is going to be: code, a
cell, a link, a word of a shell. Only :class:`Safe` texts pass as they are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~!&])")
_FOLDER = Path(__file__).parent


class Safe(str):
    """Text that may stand in a page as it is."""

    __slots__ = ()


def inline(value: object) -> Safe:
    """One line of text without any markup of its own."""
    if isinstance(value, Safe):
        return value
    return Safe(_SPECIAL.sub(r"\\\1", _one_line(value)))


def code(value: object) -> Safe:
    """Text between backticks, as many as it needs; it may stand in a table."""
    text = _one_line(value).replace("|", "\\|")
    longest = max((len(one) for one in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return Safe(f"{fence}{space}{text}{space}{fence}")


def link(value: object) -> Safe:
    """The target of a link: an address, or a file beside the page."""
    return Safe(quote(_one_line(value), safe=":/?#@%+,;=&~.-_"))


def shell(value: object) -> Safe:
    """One word of a command in a block of code."""
    return Safe(shlex.quote(_one_line(value)).replace("`", ""))


def python(value: object) -> Safe:
    """A text, or a list of texts, in Python."""
    return Safe(repr(value).replace("`", "\\x60"))


def raw(value: object) -> Safe:
    """A name that its own rules keep free of anything special."""
    text = str(value)
    if not re.fullmatch(r"[A-Za-z0-9._:/'\" -]*", text):
        raise ValueError(f"{text!r} is not plain")
    return Safe(text)


def _one_line(value: object) -> str:
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return " ".join(text.split())


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
