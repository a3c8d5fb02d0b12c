"""What of a tool chain's data is otherwise for some of upstream's commits; pure.

A variant is a small change of the data, and what the tree of a commit must hold for it. Which
hold is found by a reader of the tree that is handed in: nothing here opens a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pydantic import Field

from orchestrator.toolchain.data import Data

# The texts of all files of a tree whose paths match a pattern such as tools/*/main.cpp.
Read = Callable[[str], Sequence[str]]


class When(Data):
    """What a tree must be like."""

    file: str = Field(description="Pattern of files; without more, one such must be there.")
    there: bool = Field(default=True, description="false: no such file may be there.")
    holds: str = Field(default="", description="Regular expression that one of them matches.")
    lacks: str = Field(
        default="", description="Regular expression that none of them matches, if any is there."
    )

    def met(self, read: Read) -> bool:
        """Whether the tree behind a reader is like this."""
        texts = read(self.file)
        if self.holds or self.lacks:
            found = any(re.search(self.holds or self.lacks, text) for text in texts)
            return found is bool(self.holds)
        return bool(texts) is self.there


class Variant(Data):
    """A change of the data: mappings are merged, lists replaced, and null takes away."""

    about: str = Field(description="One sentence for people.")
    when: When = Field(description="For which trees.")
    programs: Mapping[str, str] = Field(
        default={}, description="What programs are called there, in all argv and targets."
    )
    set: Mapping[str, Any] = Field(default={}, description="What is otherwise, by the data's keys.")


class Listed(Data):
    """Where the source lists names."""

    file: str = Field(description="Pattern of files.")
    pattern: str = Field(description="Regular expression whose one group is a name.")

    def read(self, read: Read) -> tuple[str, ...]:
        """The names in the tree behind a reader."""
        found = [name for text in read(self.file) for name in re.findall(self.pattern, text)]
        return tuple(dict.fromkeys(found))


def holding(variants: Mapping[str, Variant], read: Read) -> tuple[str, ...]:
    """The names of the variants that hold for a tree, in their order."""
    return tuple(name for name, one in variants.items() if one.when.met(read))


def applied(data: Mapping[str, Any], variants: Sequence[Variant]) -> dict[str, Any]:
    """The data of a tool chain, changed by variants in their order."""
    programs: dict[str, str] = {}
    for one in variants:
        data = merged(data, one.set)
        programs |= one.programs
    return _with_programs(data, programs)


def merged(base: Any, change: Any) -> Any:
    """A value after a change of it."""
    if not isinstance(change, Mapping):
        return change
    old = base if isinstance(base, Mapping) else {}
    taken = {name for name, value in change.items() if value is None}
    new = {name: merged(old.get(name), change[name]) for name in change if name not in taken}
    return {name: value for name, value in {**old, **new}.items() if name not in taken}


def without(names: Mapping[str, Any], listed: Collection[str]) -> dict[str, Any]:
    """The types whose name or alias is listed; all, where nothing is."""
    if not listed:
        return dict(names)
    return {
        name: spec
        for name, spec in names.items()
        if not {name, *spec.get("aliases", ())}.isdisjoint(listed)
    }


def _with_programs(data: Mapping[str, Any], programs: Mapping[str, str]) -> dict[str, Any]:
    verbs = {
        name: {**verb, "argv": _renamed(verb["argv"], programs)}
        for name, verb in data["verbs"].items()
    }
    build = dict(data["build"])
    build["targets"] = [programs.get(name, name) for name in build["targets"]]
    tests = [{**one, "argv": _renamed(one["argv"], programs)} for one in build["self_test"]]
    compared = data.get("compared")
    if compared:
        compared = {**compared, "argv": _renamed(compared["argv"], programs)}
    return {**data, "verbs": verbs, "build": {**build, "self_test": tests}, "compared": compared}


def _renamed(argv: Any, programs: Mapping[str, str]) -> Any:
    if isinstance(argv, str):
        found = re.fullmatch(r"\{bin\}/(.+)\{exe\}", argv)
        return f"{{bin}}/{programs[found[1]]}{{exe}}" if found and found[1] in programs else argv
    if isinstance(argv, Mapping):
        return {name: _renamed(value, programs) for name, value in argv.items()}
    return [_renamed(one, programs) for one in argv]
