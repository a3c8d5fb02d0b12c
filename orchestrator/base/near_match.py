"""What somebody may have meant by a word that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

MOST = 500  # known words that are looked at: each is compared letter by letter


def near(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known word nearest to ``word``, or nothing."""
    spelled = {name.casefold(): name for name in islice(known, MOST)}
    found = get_close_matches(word.casefold(), spelled, n=1, cutoff=0.6)
    return f"; did you mean {spelled[found[0]]!r}?" if found else ""
