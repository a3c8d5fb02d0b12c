"""What the shell offers after Tab: recipes, their types, tool chains, keys of the store.

Called at every Tab, so it imports little and never fails: what cannot be read offers nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from orchestrator.base import installed_data

_SUFFIXES = (".yaml", ".yml")
_DEPTH = 3
_MOST_FILES = 200
_KEY_DIGITS = 12


def recipes(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Recipes that come along, by name, and YAML files that begin so.

    Files are looked for a few folders deep: a folder alone would end the word. Where there is
    nothing the shell completes files by itself.
    """
    start, _, _ = incomplete.rpartition("/")
    prefix = f"{start}/" if start or incomplete.startswith("/") else ""
    found: list[str] = []
    for name in _yaml_files(Path(prefix or "."), prefix, _DEPTH):
        if name.startswith(incomplete):
            found.append(name)
        if len(found) == _MOST_FILES:
            break
    named = [name for name in installed_data.recipes() if name.startswith(incomplete)]
    if not found and not named:
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(name) for name in (*found, *named)]


def _yaml_files(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    """Recipes in a folder, then below it, by name; locks and what is hidden are left out."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    seen = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in seen:
        name = entry.name
        if name.endswith(_SUFFIXES) and not name.endswith(".lock.yaml"):
            yield prefix + name
    for entry in seen:
        if depth > 1 and entry.is_dir(follow_symlinks=False):
            yield from _yaml_files(Path(entry.path), f"{prefix}{entry.name}/", depth - 1)


def only(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the files of the recipes that stand on the line already, or types."""
    # click stops at an option whose value is still to come: arguments are in args then.
    given = [ctx.params.get(name) or () for name in ("recipes", "recipe", "path")]
    known = [one for some in given for one in (some if isinstance(some, tuple) else (some,))]
    named = installed_data.recipes()
    paths = [named.get(str(one), Path(str(one))) for one in (*known, *ctx.args)]
    names = [name for path in paths if path.suffix in _SUFFIXES for name in _file_names(path)]
    return _beginning(dict.fromkeys(names), incomplete)


def _file_names(path: Path) -> Iterator[str]:
    from orchestrator.base.errors import OrchestrateError
    from orchestrator.recipe.extends import read_tree

    try:
        files = read_tree(path).data.get("quantize", ())
    except OrchestrateError:
        return
    for one in files if isinstance(files, list | tuple) else ():
        told = one if isinstance(one, dict) else {"type": one}
        yield str(told.get("name") or told.get("type", ""))


def toolchains(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The names of tool chains."""
    from orchestrator.base.errors import OrchestrateError
    from orchestrator.toolchain import find_toolchain

    try:
        names = find_toolchain.names(Path.cwd())
    except OrchestrateError:
        names = ()
    return _beginning(names, incomplete)


def keys(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Beginnings of the keys of stored artifacts, each with what it is."""
    from orchestrator.engine.artifact_store import Store

    store = Store(Store.default_root(), lambda _text: None)
    digits = max(_KEY_DIGITS, len(incomplete))
    return [
        CompletionItem(one.key[:digits], help=one.label)
        for one in store.artifacts()
        if one.key.startswith(incomplete)
    ]


def known(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the recipes in the history, or else files of recipes."""
    from orchestrator.base.errors import OrchestrateError
    from orchestrator.engine.artifact_store import Store
    from orchestrator.history import History

    try:
        names = History(Store.default_root()).recipes()
    except OrchestrateError:
        names = []
    return _beginning(names, incomplete) or recipes(ctx, param, incomplete)


def _beginning(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Case does not matter in names of types."""
    wanted = incomplete.casefold()
    return [CompletionItem(word) for word in words if word.casefold().startswith(wanted)]
