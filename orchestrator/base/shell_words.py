"""Commands as a shell would have to be given them; pure."""

from __future__ import annotations

from collections.abc import Sequence


def command(argv: Sequence[str]) -> str:
    """A command as a shell would have to be given it; placeholders stay readable."""
    return " ".join(map(_word, argv))


def _word(word: str) -> str:
    """One argument of a command."""
    plain = word and all(letter.isalnum() or letter in "_@%+=:,./-{}" for letter in word)
    return word if plain else "'" + word.replace("'", "'\"'\"'") + "'"
