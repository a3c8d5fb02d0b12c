"""What the shell offers after Tab: recipes, their types, tool chains, keys of the store.

Called at every Tab, so it imports little and never fails: what cannot be read offers nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from orchestrator.base import installed_data

if TYPE_CHECKING:
    from orchestrator.toolchain.model import Build

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
    names = [name for path in _recipes_in(_words(ctx)) for name in _file_names(path)]
    return _beginning(dict.fromkeys(names), incomplete)


def _words(ctx: click.Context) -> list[str]:
    """The arguments that stand on the line already."""
    # click stops at an option whose value is still to come: arguments are in args then.
    given = [ctx.params.get(name) or () for name in ("recipes", "recipe", "path", "name")]
    known = [one for some in given for one in (some if isinstance(some, tuple) else (some,))]
    return [str(one) for one in (*known, *ctx.args)]


def _recipes_in(words: Iterable[str]) -> list[Path]:
    """The files of the recipes among words: their paths, or the names of those that come along."""
    named = installed_data.recipes()
    paths = [named.get(word, Path(word)) for word in words]
    return [path for path in paths if path.suffix in _SUFFIXES]


def _data(path: Path) -> dict[str, Any]:
    from orchestrator.base.errors import OrchestrateError
    from orchestrator.recipe.extends import read_tree

    try:
        return read_tree(path).data
    except OrchestrateError:
        return {}


def _file_names(path: Path) -> Iterator[str]:
    files = _data(path).get("quantize", ())
    for one in files if isinstance(files, list | tuple) else ():
        told = one if isinstance(one, dict) else {"type": one}
        yield str(told.get("name") or told.get("type", ""))


def names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of recipes that come along."""
    return _beginning(installed_data.recipes(), incomplete)


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


def backends(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Back ends of the tool chains that the line is about, or of all."""
    names = (name for build in _builds(ctx) for name in build.backend_names)
    return _beginning(dict.fromkeys(names), incomplete)


def profiles(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Build profiles of the tool chains that the line is about, or of all."""
    names = (name for build in _builds(ctx) for name in build.profile_names)
    return _beginning(dict.fromkeys(names), incomplete)


def _builds(ctx: click.Context) -> Iterator[Build]:
    from orchestrator.base.errors import OrchestrateError
    from orchestrator.toolchain import find_toolchain

    words = _words(ctx)
    chosen = [_data(path).get("toolchain") for path in _recipes_in(words)]
    named = {one.get("name") for one in chosen if isinstance(one, dict)} | set(words)
    try:
        names = find_toolchain.names(Path.cwd())
        for name in [name for name in names if name in named] or names:
            yield find_toolchain.load(name, Path.cwd()).build
    except OrchestrateError:
        return


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


def measures(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of measures."""
    from orchestrator.measures import registry

    return _beginning([one.name for one in registry.measures()], incomplete)


def _beginning(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Case does not matter in names of types."""
    wanted = incomplete.casefold()
    return [CompletionItem(word) for word in words if word.casefold().startswith(wanted)]
