"""The documents as parsed Markdown: pages, headings, links, blocks of code."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)


@dataclass(frozen=True)
class Block:
    """A block of code: its page and line, its language, its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8")))


def inlines(page: Path) -> Iterator[tuple[int, Token]]:
    """Every piece of text with the line that it begins in."""
    for token in tokens(page):
        for child in token.children or ():
            yield (token.map or [0])[0] + 1, child


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Line and target of every link and picture."""
    for line, token in inlines(page):
        target = token.attrs.get("href", token.attrs.get("src"))
        if target is not None:
            yield line, str(target)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings: lower case, no punctuation, dashes, counted."""
    found: list[str] = []
    every = tokens(page)
    for head, content in itertools.pairwise(every):
        if head.type == "heading_open":
            text = "".join(child.content for child in content.children or ())
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return set(found)


def blocks(page: Path) -> Iterator[Block]:
    """Every block of code, indented ones too; those have no language."""
    for token in tokens(page):
        if token.type in ("fence", "code_block"):
            line = (token.map or [0])[0] + 1
            yield Block(page, line, token.info.strip(), token.content)


def spans(page: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every piece of code within a sentence."""
    for line, token in inlines(page):
        if token.type == "code_inline":
            yield line, token.content


def commands(text: str) -> Iterator[str]:
    """The calls of ``orchestrate`` in a script, without what stands before and after them."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        for part in re.split(r"\s*(?:&&|\|\||;|\|)\s*", line):
            called = re.match(r"(?:\$ )?(?:\w+=\S* )*(orchestrate\b.*)", part.strip())
            if called:
                yield called.group(1)
