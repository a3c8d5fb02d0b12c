"""Reads stories back: says where a text leaves the grammar that tinymodels.grammar writes."""

from __future__ import annotations

import re
from functools import cache

from tinymodels import words
from tinymodels.grammar import fix_articles

_SLOT = re.compile(r"\\\{(\w+)\\\}")
_PRONOUNS = {
    "girl": {"He": "She", "he": "she", "His": "Her", "his": "her", "him": "her"},
    "boy": {"He": "He", "he": "he", "His": "His", "his": "his", "him": "him"},
}
_STORY_TEMPLATES = (
    *words.OPENING,
    *words.HABIT,
    *words.MEETING,
    *words.TALK,
    *(template for pair in words.TROUBLES for stage in pair for template in stage),
    *words.THANKS,
    *words.ENDING,
)


def sentences(text: str) -> list[str]:
    """The text cut after each full stop; the last piece may be unfinished."""
    return [piece for piece in re.split(r"(?<=\.)\s+", text.strip()) if piece]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """Matches what a template writes; a slot's first use is a group named after it."""
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        slot = match.group(1)
        words_of_slot = "|".join(words.SLOTS[slot])
        if slot in seen:  # a free slot may be drawn twice; a story slot is compared below
            return f"(?:{words_of_slot})"
        seen.add(slot)
        return f"(?P<{slot}>{words_of_slot})"

    escaped = _SLOT.sub(group, re.escape(template))
    return re.compile(re.sub(r"\b([Aa])\\ ", r"\1n?\\ ", escaped))


def _expected(bound: dict[str, str]) -> dict[str, str]:
    """What the bound slots say of others: the name of the pronouns, the animal of the food."""
    known = dict(bound)
    if "name" in bound:
        known["kind"] = "girl" if bound["name"] in words.GIRLS else "boy"
        known.update(_PRONOUNS[known["kind"]])
    if "animal" in bound:
        known["food"] = words.FOODS[bound["animal"]]
    return known


def bind(sentence: str, bound: dict[str, str]) -> dict[str, str] | None:
    """The story's slots after this sentence, or None when no template writes it after `bound`."""
    if fix_articles(sentence) != sentence or re.search(r"\b[Aa]n [^aeiou]", sentence):
        return None
    for template in _STORY_TEMPLATES:
        match = _pattern(template).fullmatch(sentence)
        if match is None:
            continue
        new = {k: v for k, v in match.groupdict().items() if k in words.STORY_SLOTS}
        known = _expected({**new, **bound})
        if all(known[slot] == value for slot, value in new.items()):
            return {**bound, **new}
    return None


def errors(story: str) -> list[str]:
    """The sentences of a story that the grammar would not have written there."""
    bound: dict[str, str] = {}
    wrong = []
    for sentence in sentences(story):
        after = bind(sentence, bound)
        if after is None:
            wrong.append(sentence)
        else:
            bound = after
    return wrong
