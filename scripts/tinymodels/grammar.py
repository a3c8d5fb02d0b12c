"""Writes simple English stories from a seed: same seed, same text, on every machine.

Only `random.Random.random` is used, whose sequence Python promises not to change for a seed
(docs.python.org, library "random", "Notes on Reproducibility"); `choice` makes no such promise.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from tinymodels import words

_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


def fix_articles(text: str) -> str:
    """`a` before a vowel becomes `an`; the vocabulary has no silent h and no long u."""
    return _ARTICLE.sub(r"\1n ", text)


class Writer:
    """One seeded source of stories and dialogues."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, choices: tuple[str, ...]) -> str:
        """One of `choices`, each as likely as the others."""
        return choices[int(self._random.random() * len(choices))]

    def cast(self) -> dict[str, str]:
        """Who and what a story is about: a value for every slot of words.STORY_SLOTS."""
        girl = self._random.random() < 0.5
        animal = self.pick(tuple(words.FOODS))
        pronouns = ("girl", "She", "she", "Her", "her", "her")
        if not girl:
            pronouns = ("boy", "He", "he", "His", "his", "him")
        return {
            "name": self.pick(words.GIRLS if girl else words.BOYS),
            **dict(zip(("kind", "He", "he", "His", "his", "him"), pronouns, strict=True)),
            "animal": animal,
            "food": words.FOODS[animal],
            **{slot: self.pick(words.SLOTS[slot]) for slot in ("relative", "toy", "lost", "paw")},
        }

    def fill(self, template: str, cast: dict[str, str]) -> str:
        """The template as a sentence; slots that the cast lacks are drawn."""

        def value(match: re.Match[str]) -> str:
            slot = match.group(1)
            return cast[slot] if slot in cast else self.pick(words.SLOTS[slot])

        return fix_articles(_SLOT.sub(value, template))

    def plot(self) -> list[str]:
        """The templates of one story, in order."""
        trouble, help_ = words.TROUBLES[int(self._random.random() * len(words.TROUBLES))]
        stages = [words.OPENING, words.HABIT, words.MEETING, words.TALK, trouble, help_]
        if self._random.random() < 0.4:
            stages.remove(words.TALK)
        return [self.pick(stage) for stage in (*stages, words.THANKS, words.ENDING)]

    def story(self, cast: dict[str, str] | None = None) -> str:
        """One story on one line, without a line break at its end."""
        cast = cast or self.cast()
        return " ".join(self.fill(template, cast) for template in self.plot())

    def dialogue(self) -> tuple[str, str]:
        """A question and its answer, each on one line, without the speakers' names."""
        cast = self.cast()
        question, answer = words.CHAT[int(self._random.random() * len(words.CHAT))]
        if answer == "{story}":
            return self.fill(question, cast), self.story(cast)
        return self.fill(question, cast), self.fill(answer, cast)


def stories(seed: int) -> Iterator[str]:
    """Stories without end."""
    writer = Writer(seed)
    while True:
        yield writer.story()


def corpus(seed: int, size: int) -> str:
    """Stories, one a line, until the text has at least `size` characters (all ASCII)."""
    lines: list[str] = []
    length = 0
    for story in stories(seed):
        lines.append(story)
        length += len(story) + 1
        if length >= size:
            break
    return "".join(f"{line}\n" for line in lines)
