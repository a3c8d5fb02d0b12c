"""Recipes that extend recipes: one merged tree of plain data, with places for errors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.base import installed_data
from orchestrator.recipe.yaml_positions import (
    ANY,
    CORPORA,
    Loc,
    Mark,
    Node,
    bad,
    places,
    read,
    stands_at,
)

_SOURCES: tuple[Loc, ...] = (
    ("model",),
    ("model", "base"),
    ("model", "delta"),
    ("model", "lora", ANY),
    ("model", "mergekit", "models", ANY),
    ("adapters", ANY),
    *CORPORA,
)
_NAMED: tuple[Loc, ...] = (*_SOURCES, ("toolchain", "tools"))
_SOURCE_KINDS = ("hub", "pypi", "path", "url")
# What describes one particular model must not pass for a description of its children.
_OWN: tuple[Loc, ...] = (
    ("name",),
    ("extends",),
    ("download",),
    ("published",),
    ("verify", "sha256"),
    ("verify", "reference"),
    ("publish", "to"),
    ("publish", "base_model"),
)


@dataclass(frozen=True)
class Tree:
    """Plain data of a merged recipe, and where each value and each key of it stands."""

    data: dict[str, Any]
    values: Mapping[Loc, Mark]
    keys: Mapping[Loc, Mark]

    def mark(self, loc: Loc, *, key: bool = False) -> Mark:
        """The place of ``loc``, or of the nearest thing around it that was written."""
        if key and loc in self.keys:
            return self.keys[loc]
        while loc not in self.values:
            loc = loc[:-1]
        return self.values[loc]


def read_tree(path: Path) -> Tree:
    """Read a recipe and everything it extends.

    Raises:
        RecipeError: A file is missing, too big, not YAML, or extends itself.
    """
    node = _prune(_read_extending(path, ()))
    values: dict[Loc, Mark] = {}
    keys: dict[Loc, Mark] = {}
    data = _plain(node, (), values, keys)
    return Tree(data, values, keys)


def _read_extending(path: Path, children: tuple[str, ...]) -> Node:
    node = read(path)
    parent = node.value.get("extends")
    if parent is None or parent.value is None:
        return node
    if not isinstance(parent.value, str) or not parent.value:
        raise bad(parent.mark, "must be the path of another recipe", ("extends",))
    target = parent_file(path, parent.value)
    chain = (*children, os.path.realpath(path))
    if os.path.realpath(target) in chain:
        raise bad(parent.mark, f"{parent.value!r} extends this recipe itself", ("extends",))
    if not os.path.isfile(target):  # noqa: PTH113 - False, not an error, for a name too long
        raise bad(parent.mark, f"there is no file {str(target)!r}", ("extends",))
    return merge(_read_extending(target, chain), node)


def parent_file(path: Path, extends: str) -> Path:
    """The file that a recipe extends: relative to it, or a recipe that comes along, by name."""
    beside = path.parent / extends
    if os.path.isfile(beside):  # noqa: PTH113 - False, not an error, for a name too long
        return beside
    return installed_data.recipes().get(extends, beside)


def own_paths(path: Path) -> list[str]:
    """The relative paths of models and texts that a recipe itself names, not what it extends.

    Raises:
        RecipeError: As :func:`read_tree`.
    """
    node = read(path)

    def keys(loc: Loc) -> Iterable[str | int]:
        found = _at(node, loc)
        if isinstance(found, list):
            return range(len(found))
        return found if isinstance(found, dict) else ()

    wanted = (loc for pattern in _SOURCES for loc in places(pattern, keys))
    named = (_at(node, (*loc, "path")) for loc in wanted)
    return [text for text in named if isinstance(text, str) and not Path(text).is_absolute()]


def _at(node: Node, loc: Loc) -> Any:
    for key in loc:
        try:
            node = node.value[key]
        except (TypeError, LookupError):
            return None
    return node.value


def merge(parent: Node, child: Node) -> Node:
    """The child over what it inherits: mappings merge, everything else replaces.

    A source (hub, pypi, path, url) is never mixed with the source it replaces, or a
    revision of one repository would be asked of another.
    """
    return _merge(_inheritable(parent, ()), child, ())


def _inheritable(node: Node, loc: Loc) -> Node:
    if not isinstance(node.value, dict):
        return node
    kept = {
        key: _inheritable(value, (*loc, key))
        for key, value in node.value.items()
        if (*loc, key) not in _OWN
    }
    return replace(node, value=kept)


def _merge(parent: Node, child: Node, loc: Loc) -> Node:
    both = isinstance(parent.value, dict) and isinstance(child.value, dict)
    if not both or _is_another_source(parent.value, child.value, loc):
        return child
    merged = dict(parent.value)
    for key, value in child.value.items():
        merged[key] = _merge(merged[key], value, (*loc, key)) if key in merged else value
    return replace(child, value=merged)


def _is_another_source(parent: Mapping[str, Any], child: Mapping[str, Any], loc: Loc) -> bool:
    if loc == ("imatrix",):  # of a text, or a file: what is said of one means nothing of the other
        return "file" in child or ("corpus" in child and "file" in parent)
    if not stands_at(loc, _NAMED):
        return False
    merges = not {"base", "delta", "lora", "mergekit"}.isdisjoint(child)
    return any(kind in child for kind in _SOURCE_KINDS) or (merges and "base" not in parent)


def _prune(node: Node) -> Node:
    """Without the keys whose value is null: a child writes null to drop what it inherits."""
    if not isinstance(node.value, dict):
        return node
    kept = {key: _prune(value) for key, value in node.value.items() if value.value is not None}
    return replace(node, value=kept)


def _plain(node: Node, loc: Loc, values: dict[Loc, Mark], keys: dict[Loc, Mark]) -> Any:
    values[loc], keys[loc] = node.mark, node.key
    if isinstance(node.value, dict):
        return {key: _plain(item, (*loc, key), values, keys) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return tuple(_plain(item, (*loc, i), values, keys) for i, item in enumerate(node.value))
    if loc[-1:] == ("path",) and stands_at(loc[:-1], _NAMED) and isinstance(node.value, str):
        return _absolute(node.mark.file.parent / node.value) if node.value else ""
    return node.value


def _absolute(path: Path) -> Path:
    # Not resolve(): a link in a model folder is followed when it is read, not named away.
    return Path(os.path.abspath(path))  # noqa: PTH100
