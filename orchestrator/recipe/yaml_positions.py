"""YAML with positions: bounded composing, ``extends``, and one-line problems.

A recipe is read into a tree of :class:`Node` values that remember the file, line and
column they came from. Parents named by ``extends`` are merged below it, so that an error
in an inherited value is shown where it was written, and a relative path means the folder
of the file that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.base.errors import UsageError
from orchestrator.base.safe_text import line
from orchestrator.base.units import LARGEST, plural
from orchestrator.measures import registry

MAX_BYTES = 1_000_000
_INDENT = re.compile(r"^[ ?:-]+", re.MULTILINE)
_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_DEPTH = 40
MAX_VALUES = 20_000
MAX_SHOWN = 100  # problems
_LONGEST = 600  # letters of a sentence, or of a key path

Loc = tuple[str | int, ...]

_TEXT_TAGS = {"str", "timestamp", "merge", "value"}
_SCALAR_TAGS = _TEXT_TAGS | {"int", "float", "bool", "null"}
# In a pattern of places: any key.
ANY = "*"
CORPORA: tuple[Loc, ...] = (
    ("header", "chat_template"),
    ("imatrix", "corpus"),
    ("imatrix", "file"),
    ("imatrix", "more", ANY),
    *(
        ("verify", name, option.name)
        for name, section in registry.sections().items()
        for option in section.options
        if option.kind == "text"
    ),
    *(
        ("verify", name, option.name, ANY)
        for name, section in registry.sections().items()
        for option in section.options
        if option.kind == "texts"
    ),
)
# A value written plainly where a mapping may stand: the key that it means.
_SHORTHAND: dict[Loc, str] = {("toolchain",): "name", ("toolchain", "tools"): "path"}


def stands_at(loc: Loc, patterns: Iterable[Loc]) -> bool:
    """Whether a place is one of those that the patterns mean."""
    return any(
        len(loc) == len(one) and all(a in (b, ANY) for a, b in zip(one, loc, strict=True))
        for one in patterns
    )


def places(pattern: Loc, keys: Callable[[Loc], Iterable[str | int]]) -> Iterator[Loc]:
    """The places that a pattern means, with the keys that there are below a place."""
    if ANY not in pattern:
        yield pattern
        return
    at = pattern.index(ANY)
    for key in keys(pattern[:at]):
        yield from places((*pattern[:at], key, *pattern[at + 1 :]), keys)


@dataclass(frozen=True)
class Mark:
    """A place in a recipe file; line and column count from 1."""

    file: Path
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it stands, its key path, and a sentence."""

    mark: Mark
    loc: Loc
    text: str

    def __str__(self) -> str:
        where, text = _shortened(dotted(self.loc)), _shortened(self.text)
        return line(f"{self.mark}: {where}: {text}" if where else f"{self.mark}: {text}")


class RecipeError(UsageError):
    """Recipes that cannot be used: one line for each problem of every file, up to a hundred."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        shown = [str(problem) for problem in self.problems[:MAX_SHOWN]]
        if more := self.problems[MAX_SHOWN:]:
            shown.append(f"and {plural(len(more), 'more problem')}")
        super().__init__("\n".join(shown))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


@dataclass(frozen=True)
class Node:
    """A value with its place: a dict or list of nodes, or a scalar; ``key`` is its key's."""

    value: Any
    mark: Mark
    key: Mark


def _shortened(text: str) -> str:
    """The text without its middle where keys or values of a recipe make it very long."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 100]} ... {text[-100:]}"


def dotted(loc: Loc) -> str:
    """A key path as people write it: ``quantize[1].type``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def bad(mark: Mark, text: str, loc: Loc = ()) -> RecipeError:
    """The error of a single problem."""
    return RecipeError([Problem(mark, loc, text)])


class _Loader(yaml.SafeLoader):
    """A safe loader that stops at a depth no recipe has, before Python's stack does."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            place = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=place
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read(path: Path) -> Node:
    """The tree of one file, not of what it extends.

    Raises:
        RecipeError: The file is missing, too big, or not YAML as recipes use it.
    """
    text = _text(path)
    try:
        composed = _composed(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        mark = Mark(path, place.line + 1, place.column + 1) if place else Mark(path)
        text = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise bad(mark, f"this is not YAML: {text}") from error
    if not isinstance(composed, yaml.MappingNode):
        raise bad(Mark(path), "a recipe is a mapping: it begins with 'name: ...'")
    builder = _Builder(path)
    node = builder.node(composed, (), None)
    if builder.problems:
        raise RecipeError(builder.problems)
    return node


def _composed(text: str) -> yaml.Node | None:
    """The nodes of a text; by libyaml where that is there and no depth can harm it.

    What is wrong with a text the slow loader says.
    """
    if yaml.__with_libyaml__ and _deepest(text) <= MAX_DEPTH:
        with suppress(yaml.YAMLError):
            return yaml.compose(text, Loader=yaml.CSafeLoader)
    return yaml.compose(text, Loader=_Loader)


def _deepest(text: str) -> int:
    """How deeply a text can be nested at most, by its brackets and its widest indentation."""
    indented = max((len(found) for found in _INDENT.findall(text)), default=0)
    return 2 * (indented + 1) + text.count("[") + text.count("{")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise bad(Mark(path), f"a recipe has at most {MAX_BYTES} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise bad(Mark(path), f"the recipe cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise bad(Mark(path), "this is not UTF-8 text") from error


class _Builder:
    """Turns composed YAML into nodes; counts what aliases expand to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self._count = 0
        self._scalars = yaml.constructor.SafeConstructor()

    def node(self, node: yaml.Node, loc: Loc, key: Mark | None) -> Node:
        mark = self._mark(node)
        self._count += 1
        if self._count > MAX_VALUES or len(loc) > MAX_DEPTH:
            raise bad(mark, f"aliases (*name) make more than {MAX_VALUES} values or a loop")
        meant = "path" if stands_at(loc, CORPORA) else _SHORTHAND.get(loc, "")
        value: Any
        if isinstance(node, yaml.ScalarNode):
            value = self._scalar(node, loc)
            if meant and value is not None:
                value = {meant: Node(value, mark, key or mark)}
        elif isinstance(node, yaml.MappingNode):
            value = dict(self._pairs(node, loc))
        elif isinstance(node, yaml.SequenceNode):
            value = [self.node(item, (*loc, i), None) for i, item in enumerate(node.value)]
        else:
            value = self._scalar(node, loc)
        return Node(self._plain_type(value, loc, mark), mark, key or mark)

    def _plain_type(self, value: Any, loc: Loc, mark: Mark) -> Any:
        """An entry of ``quantize`` that is only a type's name, as a mapping."""
        if len(loc) == 2 and loc[0] == "quantize" and isinstance(value, str):
            return {"type": Node(value, mark, mark)}
        return value

    def _pairs(self, node: yaml.MappingNode, loc: Loc) -> Iterator[tuple[str, Node]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(mark, loc, "a key must be a word"))
                continue
            key = self._text(key_node, loc)
            if key in seen:
                self.problems.append(Problem(mark, (*loc, key), "this key was already given"))
            seen.add(key)
            yield key, self.node(value_node, (*loc, key), mark)

    def _scalar(self, node: yaml.Node, loc: Loc) -> Any:
        kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
        if kind not in _SCALAR_TAGS:
            self.problems.append(Problem(self._mark(node), loc, f"the tag {node.tag} is refused"))
        if kind not in _SCALAR_TAGS or kind in _TEXT_TAGS:
            return self._text(node, loc)
        try:
            value = self._scalars.construct_object(node)
            if not isinstance(value, float | int) or abs(value) < LARGEST:
                return value
            text = f"{str(node.value)[:40]} is not a finite number below 2^63"
        except (ValueError, KeyError, IndexError, OverflowError):
            text = f"{str(node.value)[:40]!r} is not a value; quote it if it is text"
        self.problems.append(Problem(self._mark(node), loc, text))
        return None

    def _text(self, node: yaml.Node, loc: Loc) -> str:
        text = str(node.value)
        if (not text.isascii() and _SURROGATE.search(text)) or "\0" in text:
            problem = "text must not hold the NUL character or half of a surrogate pair"
            self.problems.append(Problem(self._mark(node), loc, problem))
        return text

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self.path, node.start_mark.line + 1, node.start_mark.column + 1)
