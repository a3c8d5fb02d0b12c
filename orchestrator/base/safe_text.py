"""Text of strangers made safe for a terminal, for JSON and for the name of a file.

Names of tensors, keys of recipes, outputs of tools and answers of servers may hold what a
terminal obeys (ECMA-48 escape sequences) or what shows other text in another order (Unicode
bidirectional controls). Such characters are shown as Python writes them: ``\\x1b``. What goes
into Markdown is made safe by :mod:`orchestrator.base.safe_markdown`, HTML by Jinja's escaping.
"""

from __future__ import annotations

import json
import re
import unicodedata

from orchestrator.base import terminal_colours
from orchestrator.base.step_values import JSON

# Controls, formats (bidirectional ones among them), halves of surrogate pairs, separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LINES = "\n\t"
# User and password of an address: up to the last @ before its path begins.
CREDENTIALS = re.compile(r"(?<=://)[^/\s?#\"<>]*@")


def without_credentials(text: str) -> str:
    """The text with ``(not shown)`` for user and password in addresses, which may be secret."""
    return CREDENTIALS.sub("(not shown)@", text) if "@" in text else text


def line(value: object) -> str:
    """One line of text: all that a terminal would obey is made visible, ends of lines too."""
    return _visible(str(value), keep="")


def lines(text: str) -> str:
    """Lines of text, for a file that people read: all but ends of lines and tabs visible."""
    return _visible(text.replace("\r\n", "\n"), keep=_LINES)


def terminal(text: str) -> str:
    """Lines of text for a terminal; of all codes only the colours of this program stay.

    Passwords in addresses are not shown.
    """
    text = without_credentials(text)
    if text.isprintable():
        return text
    parts = terminal_colours.OWN_CODES.split(text)
    return "".join(
        part if terminal_colours.OWN_CODES.fullmatch(part) else lines(part) for part in parts
    )


def as_json(value: JSON) -> str:
    """The value as indented JSON that a terminal may show; what it means stays the same.

    Passwords in addresses are not shown.
    """
    text = without_credentials(json.dumps(value, indent=1, ensure_ascii=False))
    return "".join(json.dumps(one)[1:-1] if one != "\n" and _unsafe(one) else one for one in text)


def file_name(text: str, longest: int) -> str:
    """A name of ASCII letters, digits and ``._-`` alone, of at most ``longest`` characters.

    Empty if nothing of the text can stand in one; it begins and ends with a letter or digit.
    Most file systems allow 255 characters, suffix included.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    return plain.strip("._-")[:longest].rstrip("._-")


def _visible(text: str, keep: str) -> str:
    plain = text
    for one in keep:
        plain = plain.replace(one, "")
    if plain.isprintable():
        return text
    return "".join(repr(one)[1:-1] if one not in keep and _unsafe(one) else one for one in text)


def _unsafe(letter: str) -> bool:
    return unicodedata.category(letter) in _UNSAFE
