"""What became of the source's tensors: refused where some get lost, told in the report; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from orchestrator.base import units
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON
from orchestrator.planning.plan import Plan
from orchestrator.runs.report import Warned
from orchestrator.toolchain.harmless_tensor import HarmlessTensor

_SHOWN = 12


def objection(plan: Plan, facts: Mapping[str, JSON]) -> UsageError | None:
    """Why a plan would lose something of its source, or drops nothing by a pattern; or None."""
    dropped, patterns = facts["dropped"], plan.recipe.convert.drop
    empty = [name for name, count in facts.get("parts", {}).items() if not count]
    if empty:
        return UsageError(
            f"{plan.recipe.name}: no tensor of the source would be in {' and '.join(empty)}",
            "The model has no such part: leave that out of the recipe.",
        )
    idle = [one for one in patterns if not _matching((one,), dropped)]
    if idle:
        return UsageError(
            f"{plan.recipe.name}: convert.drop: {', '.join(map(repr, idle))} matches no tensor "
            "that the converter leaves out",
            f"It leaves out: {_shown(dropped)}." if dropped else "It leaves out none: remove it.",
        )
    harmless = [one.match for one in _harmless(plan, facts)]
    meant = {*_matching((*patterns, *harmless), dropped), *facts.get("unmade", ())}
    lost = [name for name in dropped if name not in meant]
    if not lost:
        return None
    return UsageError(
        f"{plan.recipe.name}: the converter would leave out {units.plural(len(lost), 'tensor')} "
        f"of the source's {facts['tensors']}: {_shown(lost)}",
        f"{_file_of_its_own(plan)}If they are to stay behind, name them in the recipe with a "
        f"pattern that is found in their names: 'convert: {{drop: [{_advice(lost)}]}}'.",
    )


def _file_of_its_own(plan: Plan) -> str:
    if plan.recipe.mmproj is not None or "mmproj" not in plan.chain.verbs:
        return ""
    return "An image or sound part gets a file of its own by 'mmproj: {outtype: f16}'. "


def told(
    plan: Plan, facts: Mapping[str, JSON] | None, adapters: Mapping[str, int] | None = None
) -> Warned | None:
    """What the report says of the source's tensors; None where they were not counted.

    ``adapters`` are the tensors of those that are files of their own, by their parts' names.
    """
    if not facts or not facts["tensors"]:
        return None
    total, dropped = int(facts["tensors"]), facts["dropped"]
    numbers: dict[str, JSON] = {"tensors": total, "dropped": dropped}
    label = plan.step(plan.census).label
    made = facts.get("parts", {})
    numbers |= {"parts": made} if made else {}
    files = "file" if not made else "files"
    apart = ", ".join(f"{count} of them in {name}" for name, count in made.items())
    said = f"tensors of the source are in the {files}{f' ({apart})' if apart else ''}"
    own = "".join(
        f" All {n} tensors of {name} are in its file." for name, n in (adapters or {}).items()
    )
    if not dropped:
        return Warned(label, f"All {total} {said}.{own}", numbers)
    parts, rest = [], list(dropped)
    for one in _harmless(plan, facts):
        parts += _part(found := _matching((one.match,), rest), one.why)
        rest = [name for name in rest if name not in found]
    parts += _part(rest, "as the recipe says")
    left = "; ".join(parts)
    return Warned(
        label, f"{total - len(dropped)} of the {total} {said}; left out: {left}.{own}", numbers
    )


def _harmless(plan: Plan, facts: Mapping[str, JSON]) -> list[HarmlessTensor]:
    return [one for one in plan.chain.harmless if one.holds_for(facts.get("architectures", ()))]


def _part(names: Collection[str], why: str) -> list[str]:
    return [f"{_shown(names)} ({why})"] if names else []


def _matching(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names in which one of the patterns is found."""
    known = [re.compile(one) for one in patterns]
    return [name for name in names if any(one.search(name) for one in known)]


def _shown(names: Iterable[str]) -> str:
    """Names with those of many layers as one, and how often."""
    groups = Counter(re.sub(r"\d+", "*", name) for name in names)
    shown = [f"{n} of {name}" if n > 1 else name for name, n in groups.most_common(_SHOWN)]
    more = len(groups) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _advice(names: Iterable[str]) -> str:
    """What the most of them begin with, and nothing that others may begin with."""
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for words in (name.split(".") for name in names):
        groups.setdefault(tuple(words[:2]), []).append(words)
    most = sorted(groups.values(), key=len, reverse=True)[:_SHOWN]
    return ", ".join(re.escape(".".join(_beginning(group))) for group in most)


def _beginning(group: Iterable[Sequence[str]]) -> Iterator[str]:
    """The words with which all begin."""
    same = takewhile(lambda words: len(set(words)) == 1, zip(*group, strict=False))
    return (words[0] for words in same)
