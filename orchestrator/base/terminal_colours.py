"""Which colour means what, and whether there is any; the one place that knows.

Colours only repeat what words and marks say. Whoever makes a text for a terminal puts its
status words into :func:`status`; finished text is never searched for them, for a recipe may
be called like one. ``click.echo`` takes the codes out where no colours are wanted; what goes
into files is made without them.

The variables are those of https://no-color.org (NO_COLOR), https://force-color.org
(FORCE_COLOR) and https://bixense.com/clicolors (CLICOLOR, CLICOLOR_FORCE).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

_RESET = "\x1b[0m"
_CODES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Look:
    """A way to show text: the codes of terminals (ECMA-48) and the name that rich has for it."""

    codes: str
    rich: str

    def paint(self, text: str) -> str:
        """The text between codes."""
        return f"\x1b[{self.codes}m{text}{_RESET}"


OK = Look("32", "green")
WARNING = Look("33", "yellow")
FAILURE = Look("1;31", "bold red")
QUIET = Look("2", "dim")

# Exactly what paint() writes, for those who take all other codes out of a text.
OWN_CODES = re.compile(
    rf"(\x1b\[(?:{'|'.join(look.codes for look in (OK, WARNING, FAILURE, QUIET))}|0)m)"
)

_WORDS = {
    OK: ("ok", "pass", "built", "identical", "no problem found"),
    WARNING: (
        *("warning", "warn", "same tensors", "near", "Unpinned", "to do", "not started (time)"),
        *("running", "interrupted"),
    ),
    FAILURE: (
        *("error", "bug", "alarm", "fail", "failed", "damaged", "different"),
        *("DIFFERENT", "environment", "NO"),
    ),
    QUIET: (
        "up to date",
        "Everything is up to date",
        "hit",
        "in the cache",
        "not verified",
        "not compared",
    ),
}
_LOOKS = {word: look for look, words in _WORDS.items() for word in words}


def status(word: str) -> str:
    """A status word in its colour; a word that is none stays as it is."""
    look = _LOOKS.get(word)
    return look.paint(word) if look else word


def width(text: str) -> int:
    """How many characters of a text are seen."""
    return len(plain(text))


def plain(text: str) -> str:
    """The text without any colours."""
    return _CODES.sub("", text)


def chosen(environment: Mapping[str, str] | None = None) -> bool | None:
    """Whether the user wants colours everywhere, nowhere, or (None) where a terminal is.

    NO_COLOR wins, as a person who needs it should not have to look for what overrules it.
    """
    env = os.environ if environment is None else environment
    if env.get("NO_COLOR"):
        return False
    if any(env.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return False if env.get("CLICOLOR") == "0" or env.get("TERM") == "dumb" else None


def wanted(stream: TextIO) -> bool:
    """Whether a stream gets colours."""
    choice = chosen()
    return stream.isatty() if choice is None else choice
