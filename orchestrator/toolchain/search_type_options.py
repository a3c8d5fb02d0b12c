"""Which few options make the quantizer choose the types that a file has.

The quantizer itself is asked (by the caller's dry run), since it chooses a tensor's type
by its name, its layer and by how many tensors before it were left to the mixture: one rule
can change the types of tensors that it does not name. So rules are tried, not computed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.base.step_values import JSON
from orchestrator.toolchain.tensor_patterns import place, rules

OUTPUT = "output.weight"
EMBEDDING = "token_embd.weight"
_TRIED_GROUPS = 4

Types = Mapping[str, str]


@dataclass(frozen=True)
class Options:
    """What the quantizer is told beside the type; types in lower case."""

    pure: bool = False
    output_tensor_type: str = ""
    token_embedding_type: str = ""
    tensor_types: Mapping[str, str] = field(default_factory=dict)

    def given(self) -> dict[str, JSON]:
        """The options that are set, by their names in a recipe."""
        own: dict[str, JSON] = {**vars(self), "tensor_types": dict(self.tensor_types)}
        return {name: value for name, value in own.items() if value}


@dataclass(frozen=True)
class Explanation:
    """Options, how many things they say, and the tensors that they do not explain."""

    options: Options
    cost: int
    unexplained: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, int]:
        """Small for a good explanation: first nothing unexplained, then few words."""
        return len(self.unexplained), self.cost


DryRun = Callable[[Options], Types]


def explain(wanted: Types, dry_run: DryRun) -> Explanation:
    """The smallest set of options, found greedily, that gives tensors these types.

    Args:
        wanted: Types (upper case) of all tensors that a quantizer could change, by name.
        dry_run: What types the quantizer would give with some options.

    Returns:
        An explanation of which nothing can be left out. Tensors stay unexplained when no
        rule gives them their type.
    """
    found = _Search(wanted, dry_run, pure=False).run()
    if not found.cost and not found.unexplained:
        return found
    other = _Search(wanted, dry_run, pure=True).run()
    return min(other, found, key=lambda one: one.rank)


@dataclass(frozen=True)
class _Try:
    """Tensors that rules name, how many of them are new, and what stays wrong then."""

    claims: frozenset[str]
    added: int
    left: frozenset[str]


class _Search:
    """Claims tensors for rules until the dry run agrees, then drops needless claims."""

    def __init__(self, wanted: Types, dry_run: DryRun, pure: bool) -> None:
        self._wanted, self._dry_run, self._pure = wanted, dry_run, pure
        self._hopeless: set[str] = set()

    def run(self) -> Explanation:
        """Go on while a claim changes anything."""
        now = _Try(frozenset(), 0, self._residual(frozenset()))
        while now.left - self._hopeless:
            tries = self._tries(now)
            now = min(tries, key=lambda one: (len(one.left), one.added)) if tries else now
        claims = self._pruned(now.claims, now.left)
        cost = len(_groups(claims, self._wanted)) + self._pure
        return Explanation(self._options(claims), cost, tuple(sorted(now.left)))

    def _tries(self, now: _Try) -> list[_Try]:
        """Larger claims that put something right; what no claim changes is given up."""
        groups = _groups(now.left - self._hopeless, self._wanted)
        found: list[_Try] = []
        for names in sorted(groups, key=len, reverse=True)[:_TRIED_GROUPS]:
            own = [self._with(now, more) for more in dict.fromkeys((names, self._alike(names)))]
            good = [one for one in own if not names <= one.left]
            found += good
            self._hopeless |= set() if good else names
        return found

    def _with(self, now: _Try, more: frozenset[str]) -> _Try:
        claims = now.claims | more
        return _Try(claims, len(more), self._residual(claims))

    def _alike(self, names: frozenset[str]) -> frozenset[str]:
        """All tensors of the same part of a layer that have the same type."""
        first = min(names)
        role, kind = place(first).role, self._wanted[first]
        alike = (one for one, own in self._wanted.items() if own == kind)
        return frozenset(one for one in alike if place(one).role == role)

    def _pruned(self, claims: frozenset[str], left: frozenset[str]) -> frozenset[str]:
        for names in _groups(claims, self._wanted):
            fewer = claims - names
            if self._residual(fewer) <= left:
                claims = fewer
        return claims

    def _residual(self, claims: frozenset[str]) -> frozenset[str]:
        types = self._dry_run(self._options(claims))
        return frozenset(name for name, kind in self._wanted.items() if types[name] != kind)

    def _options(self, claims: frozenset[str]) -> Options:
        own = {name: self._wanted[name] for name in claims}
        output, embedding = own.pop(OUTPUT, ""), own.pop(EMBEDDING, "")
        known = self._wanted.keys() - {OUTPUT, EMBEDDING}
        found = rules(own, sorted(known))
        return Options(self._pure, output.lower(), embedding.lower(), found)


def _groups(names: frozenset[str], wanted: Types) -> list[frozenset[str]]:
    """Tensors of the same part and type together: what one alternative of a rule says."""
    found: dict[object, list[str]] = defaultdict(list)
    for name in sorted(names):
        found[place(name).role, wanted[name]].append(name)
    return [frozenset(group) for group in found.values()]
