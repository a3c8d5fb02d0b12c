"""How the tests look at pages, and what hostile text is."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from tests.support.long_history import Plot

SHORT = Plot(nights=6, broken=(2,), changed=3, worse=5)
HOSTILE = "</svg><script>alert('x')</script>\"'><img src=x onerror=alert(1)>\n\x1b[31mred\x00"


class Tags(HTMLParser):
    """Every element with its attributes, and whether each one that was opened is closed."""

    VOID = ("meta", "link", "input", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} at {self.getpos()}"


def parsed(text: str) -> Tags:
    found = Tags()
    found.feed(text)
    assert not found.open
    return found


def drawings(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(one) for one in re.findall(r"<svg class.*?</svg>", text, re.S)]
