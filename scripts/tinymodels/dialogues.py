"""Questions and answers from the grammar, for the models that are talked to."""

from __future__ import annotations

from tinymodels import words
from tinymodels.corpora import CHAT_SEED
from tinymodels.grammar import Writer, fix_articles


def pairs(count: int, seed: int = CHAT_SEED) -> list[tuple[str, str]]:
    """Questions with their answers, some of which are stories."""
    writer = Writer(seed)
    return [writer.dialogue() for _ in range(count)]


def facts() -> dict[str, str]:
    """Every question that has one right answer, and that answer."""
    known = {}
    for name in words.SLOTS["name"]:
        kind = "girl" if name in words.GIRLS else "boy"
        known[f"Is {name} a girl or a boy?"] = f"{name} is a {kind}."
    for animal, food in words.FOODS.items():
        likes = f"{animal} likes to eat {food}."
        known[fix_articles(f"What does a {animal} like to eat?")] = fix_articles(f"A {likes}")
        known[f"Who likes to eat {food}?"] = f"The {likes}"
    return known
