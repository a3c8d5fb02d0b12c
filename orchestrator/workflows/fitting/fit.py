"""The best file for a size: probe groups of tensors, choose types, measure, compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.base import units
from orchestrator.base.errors import StepError, UsageError
from orchestrator.modelfiles.ggml_types import type_by_name
from orchestrator.recipe.models import Quant
from orchestrator.toolchain.draft_policy import Fitting
from orchestrator.workflows.fitting import placements, tensor_groups
from orchestrator.workflows.fitting.placements import Option
from orchestrator.workflows.fitting.probing import Bench, Found
from orchestrator.workflows.fitting.tensor_groups import Group

Say = Callable[[str], None]

# How much worse than estimated what was not measured may be: each doubt may give another
# candidate, and candidates are measured.
_DOUBTS = (1.0, 2.0, 0.5, 4.0)
_ROUNDS = 3
# Two standard errors of the difference.
_BEYOND = 2.0


@dataclass(frozen=True)
class Goal:
    """What is wanted: at most so many bytes, or at most so much mean KL divergence (nats).

    ``like`` is the standard type whose size it is.
    """

    label: str
    size: int = 0
    divergence: float = 0.0
    like: str = ""


@dataclass(frozen=True)
class Probe:
    """One group at one type: what that adds to the divergence of the file (nats)."""

    group: str
    type: str
    divergence: float
    error: float


@dataclass(frozen=True)
class Probed:
    """All groups of a model with what each type costs in them.

    ``base`` is the divergence of a file whose groups all have the type of probes' other groups.
    """

    groups: tuple[Group, ...]
    probes: tuple[Probe, ...]
    base: float

    def options(self, doubt: float = 1.0) -> list[tuple[Option, ...]]:
        """The types of every group with their costs."""
        measured: dict[str, dict[str, float]] = {one.name: {} for one in self.groups}
        for one in self.probes:
            measured[one.group][one.type] = one.divergence
        every = [placements.options(one, measured[one.name]) for one in self.groups]
        return [placements.doubted(each, doubt) for each in every]


@dataclass(frozen=True)
class Fit:
    """What was found for one goal.

    Attributes:
        goal: What was wanted.
        file: The fitted file as a recipe says it.
        estimate: Its divergence by the probes (nats).
        searched: It and the other candidates on the fit text, best first.
        held_out: It, on the text that the search did not see.
        standard: The standard type of about that size there.
        better: Whether it beats the standard type by more than two standard errors.
    """

    goal: Goal
    file: Quant
    estimate: float
    searched: tuple[Found, ...]
    held_out: Found
    standard: Found
    better: bool


@dataclass(frozen=True)
class Search:
    """All that a search needs: where to measure, the rules, what every file shares."""

    fitting: Bench
    held_out: Bench
    policy: Fitting
    options: Mapping[str, object] = field(default_factory=dict)

    def file(self, name: str, type_: str, types: Mapping[str, str] | None = None) -> Quant:
        """A file as a recipe says it."""
        bare = Quant.model_construct(type=type_, name=name, tensor_types=dict(types or {}))
        return bare.model_copy(update={**self.options, "allow_fallback": True})


def probe(search: Search, *, thirds: bool, say: Say) -> Probed:
    """Measure what each group costs at some types.

    Args:
        search: Where and how.
        thirds: Whether each third of the depth is a group of its own.
        say: Told how many files will be made.

    Raises:
        StepError: Nothing in the model can be quantized, or a step failed.
    """
    policy = search.policy
    base = search.file("fit-base", policy.base)
    names = search.fitting.quantized(base)
    tensors = [one for one in search.fitting.header().tensors if one.name in names]
    families = [one.types for one in policy.families]
    groups = tensor_groups.groups(tensors, families, thirds=thirds)
    if not groups:
        raise StepError("no tensor of the model can be quantized to the types of a fit")
    wanted = [(group, name) for group in groups for name in _probed(group, groups, policy)]
    files = {f"probe-{number:03d}": (group, name) for number, (group, name) in enumerate(wanted, 1)}
    say(f"{units.plural(len(groups), 'group')} of tensors, {len(files) + 1} files to measure")
    made = [
        search.file(name, policy.base, {group.pattern: type_})
        for name, (group, type_) in files.items()
    ]
    found = search.fitting.measure([base, *made])
    whole = found[base.name]
    probes = tuple(
        Probe(
            group.name,
            type_,
            found[name].divergence - whole.divergence,
            math.hypot(found[name].error, whole.error),
        )
        for name, (group, type_) in files.items()
    )
    return Probed(groups, probes, whole.divergence)


def _probed(group: Group, groups: Sequence[Group], policy: Fitting) -> Sequence[str]:
    """The types in which a group is measured: all of them where one group decides much."""
    probes = next(one.probes for one in policy.families if one.types == group.types)
    largest = max(groups, key=lambda one: one.elements)
    alone = len(group.tensors) == 1  # embedding, output
    if not alone and group is not largest:
        return probes
    return [name for name in group.types if name != policy.base.lower()]


def fit(search: Search, probed: Probed, goal: Goal, say: Say) -> Fit:
    """The best file for a goal, measured beside the standard type on the held-out text.

    Raises:
        UsageError: No placement of the types is as small as that.
        StepError: A step failed.
    """
    if goal.size:
        candidates = _within(search, probed, goal, goal.size)
    else:
        candidates = [_below(search, probed, goal, say)]
    files = [one for one, _ in candidates]
    on_fit = search.fitting.measure(files)
    ranked = sorted(files, key=lambda one: (on_fit[one.name].divergence, one.name))
    best, estimate = next(pair for pair in candidates if pair[0] is ranked[0])
    standard = _standard(search, goal, on_fit[best.name].size)
    held = search.held_out.measure([best, standard])
    mine, theirs = held[best.name], held[standard.name]
    error = math.hypot(mine.error, theirs.error)
    return Fit(
        goal,
        best.model_copy(update={"name": f"fit-{goal.label}"}),
        estimate,
        tuple(on_fit[one.name] for one in ranked),
        mine,
        theirs,
        theirs.divergence - mine.divergence > _BEYOND * error,
    )


def _within(search: Search, probed: Probed, goal: Goal, nbytes: int) -> list[tuple[Quant, float]]:
    """Different placements that may be the best in so many bytes, with their estimates."""
    beside = overhead(search, probed)
    found: dict[tuple[str, ...], None] = {}  # in the order of the doubts, equal ones once
    for doubt in _DOUBTS:
        points = placements.front(probed.options(doubt))
        best = placements.best_within(points, nbytes - beside)
        if best is None:
            least = units.size(points[0].nbytes + beside)
            raise UsageError(
                f"no mix of types is as small as {goal.label}: the smallest has {least}",
                f"Ask for {least} or more.",
            )
        found[best.types] = None
    return [
        (placed(search, probed, f"candidate-{goal.label}-{number}", types), _sum(probed, types))
        for number, types in enumerate(found, 1)
    ]


def _sum(probed: Probed, types: Sequence[str]) -> float:
    """The estimate for a placement."""
    costs = zip(probed.options(), types, strict=True)
    return probed.base + sum(
        next(one.divergence for one in each if one.type == name) for each, name in costs
    )


def _below(search: Search, probed: Probed, goal: Goal, say: Say) -> tuple[Quant, float]:
    """The smallest file whose measured divergence keeps to the goal.

    Raises:
        StepError: None was found in the rounds that there are.
    """
    points = placements.front(probed.options())
    factor = 1.0
    for number in range(1, _ROUNDS + 1):
        allowed = goal.divergence / factor - probed.base
        point = placements.smallest_below(points, allowed)
        if point is None:
            break
        file = placed(search, probed, f"candidate-{goal.label}-{number}", point.types)
        estimate = probed.base + point.divergence
        found = search.fitting.measure([file])[file.name]
        say(f"{units.size(found.size)}: estimated {estimate:.4f}, measured {found.divergence:.4f}")
        if found.divergence <= goal.divergence:
            return file, estimate
        factor *= max(found.divergence / goal.divergence, 1.02)
    raise StepError(
        f"no file with a mean KL divergence of at most {goal.divergence:g} was found",
        "Allow more, or use a standard type of more bits.",
    )


def overhead(search: Search, probed: Probed) -> int:
    """Bytes of a file beside the data of the groups: header, and tensors that stay as they are."""
    file = search.file("fit-base", search.policy.base)
    data = sum(one.nbytes(search.policy.base) for one in probed.groups)
    return search.fitting.sizes([file])[file.name] - data


def placed(search: Search, probed: Probed, name: str, types: Sequence[str]) -> Quant:
    """A placement as a file; its base type is that which most of the weights get."""
    given = {group.pattern: type_ for group, type_ in zip(probed.groups, types, strict=True)}
    weights = sum(one.elements for one in probed.groups)
    bits = sum(
        type_by_name(type_.upper()).bits_per_weight * group.elements
        for group, type_ in zip(probed.groups, types, strict=True)
    )
    base = search.policy.base_for(bits / weights)
    return search.file(name, base, given)


def _standard(search: Search, goal: Goal, nbytes: int) -> Quant:
    """The standard type of the goal: the largest that keeps to it, or else the smallest there is.

    For a divergence it is the largest that is no larger than what was found.
    """
    if goal.like:
        return search.file(goal.like, goal.like)
    nbytes = goal.size or nbytes
    files = [search.file(name, name) for name in search.policy.standards]
    sizes = search.held_out.sizes(files)
    fitting = [one for one in files if sizes[one.name] <= nbytes]
    smallest = min(files, key=lambda one: sizes[one.name])
    return max(fitting, key=lambda one: (sizes[one.name], one.name), default=smallest)
