"""Text of strangers made safe for a Markdown page.

Whoever makes a page puts every text through one of these functions, which says what the text
is going to be: words, code, a link, a block. Only :class:`Safe` texts pass as they are.
"""

from __future__ import annotations

import re
import shlex
from urllib.parse import quote

from orchestrator.base.safe_text import without_credentials

# An underscore between letters or digits marks nothing up.
_SPECIAL = re.compile(r"([\\`*\[\]<>|#~!&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


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


def block(text: str, language: str = "") -> Safe:
    """Lines of text as they are, in a block of code that nothing in them ends."""
    lines = [_printable(one).rstrip() for one in without_credentials(text).splitlines()]
    longest = max((len(one) for one in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Safe("\n".join((f"{fence}{language}", *lines, fence)))


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
    return " ".join(_printable(without_credentials(str(value))).split())


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)
