"""Names of tensors as the patterns that the quantizer understands; pure.

llama-quantize searches a tensor's name for each pattern (std::regex of C++, after making
the pattern lower case) and takes the first that is found. Rules made here match exactly the
tensors that are meant, so their order does not matter.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

_LAYER = re.compile(r"^(.*?)blk\.(\d+)\.(.+)$")

# What tensors of several layers have in common: before the layer, after it, is there one.
Role = tuple[str, str, bool]


@dataclass(frozen=True)
class Place:
    """Where a tensor stands: its part of a layer, and the layer (-1: in none)."""

    prefix: str
    part: str
    layer: int

    @property
    def role(self) -> Role:
        """What tensors of several layers have in common."""
        return self.prefix, self.part, self.layer >= 0


@lru_cache(maxsize=1 << 16)
def place(name: str) -> Place:
    """The place of a tensor by its name."""
    found = _LAYER.match(name)
    return Place(found[1], found[3], int(found[2])) if found else Place("", name, -1)


def rules(claimed: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """One pattern a type: the fewest rules that give tensors their types.

    Args:
        claimed: The type that each tensor shall get, by name.
        known: All tensors that a rule could change; the others are never matched.

    Returns:
        Types in lower case by pattern. A pattern is found in the claimed tensors only.
    """
    by_type: dict[str, set[str]] = defaultdict(set)
    for name, kind in claimed.items():
        by_type[kind].add(name)
    return {_pattern(names, known): kind.lower() for kind, names in sorted(by_type.items())}


def matches(pattern: str, name: str) -> bool:
    """Whether the quantizer finds a pattern in a tensor's name."""
    return re.search(pattern.lower(), name) is not None


def without_effect(patterns: Iterable[str], names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Patterns that decide about no tensor, since the first that is found in a name decides.

    Args:
        patterns: In the order of the recipe.
        names: The tensors that the quantizer would ask about.

    Yields:
        The pattern, and the first pattern that took one of its tensors; empty if it has none.
    """
    taken: dict[str, str] = {}
    for pattern in patterns:
        found = [name for name in names if matches(pattern, name)]
        if all(name in taken for name in found):
            yield pattern, taken[found[0]] if found else ""
        for name in found:
            taken.setdefault(name, pattern)


def plain(pattern: str) -> str:
    """A pattern or a name without its signs, to compare the words."""
    return re.sub(r"\\(.)", r"\1", pattern).strip("^$").removesuffix(".weight")


def _pattern(names: set[str], known: Collection[str]) -> str:
    """The shortest way of saying these names, and no others of the known ones."""
    for say in (_stem, _tail):
        pattern = "|".join(_alternatives(names, known, say))
        if {name for name in known if matches(pattern, name)} == names:
            return pattern
    return "|".join(f"^{_escaped(name)}$" for name in sorted(names))


def _stem(part: str) -> str:
    """``attn_v`` for ``attn_v.weight``."""
    return _escaped(part.removesuffix(".weight"))


def _tail(part: str) -> str:
    """``[.]attn_v[.]weight$``, which ``cross_attn_v.weight`` does not match."""
    return f"(^|\\.){_escaped(part)}$"


def _alternatives(
    names: Collection[str], known: Collection[str], say: Callable[[str], str]
) -> Iterator[str]:
    """What a pattern is made of: parts of all layers first, then parts of some layers."""
    every, own = _layers(known), _layers(names)
    yield from (say(role[1]) for role in sorted(own) if own[role] == every[role])
    some: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for role in sorted(own):
        if own[role] != every[role]:
            some[tuple(sorted(own[role]))].append(say(role[1]).replace("(^|\\.)", ""))
    for layers, parts in sorted(some.items()):
        yield rf"blk\.{_either(map(str, layers))}\.{_either(parts)}"


def _layers(names: Collection[str]) -> dict[Role, set[int]]:
    found: dict[Role, set[int]] = defaultdict(set)
    for one in map(place, names):
        found[one.role].add(one.layer)
    return found


def _either(words: Iterable[str]) -> str:
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"({'|'.join(listed)})"


def _escaped(text: str) -> str:
    """Text as a pattern that stays right when it is made lower case."""
    return re.sub("[A-Z]", ".", re.sub(r"[^\w-]", r"\\\g<0>", text))
