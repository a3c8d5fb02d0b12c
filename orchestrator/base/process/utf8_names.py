"""Names of files as text: in UTF-8, whatever the locale says, or refused.

Python takes what it cannot decode as halves of surrogate pairs, which no database and no JSON
takes (https://peps.python.org/pep-0383/).
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from orchestrator.base.digest import require_text


def start_again_in_utf8() -> None:
    """Replace this process where names are taken as ASCII (LANG=C, and Python's UTF-8 mode off).

    Everywhere else nothing happens: Python itself takes the locale C for UTF-8.
    """
    encoding = codecs.lookup(sys.getfilesystemencoding()).name
    if encoding == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        words = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, words, {**os.environ, "PYTHONUTF8": "1"})  # noqa: S606 - no shell


def check(words: Iterable[str]) -> None:
    """Check words of the command line, and the folder that names are relative to.

    Raises:
        UsageError: One of them is no text.
    """
    for word in words:
        require_text(word)
    with contextlib.suppress(FileNotFoundError):  # it was removed; whoever needs it will say so
        require_text(str(Path.cwd()))
