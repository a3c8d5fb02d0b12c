"""What the commands do, without the command line: load, resolve, plan, foretell, run.

Every function takes and gives frozen values; the store and the listener are handed in.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from orchestrator.planning import resource_needs
from orchestrator.engine import progress_listeners
from orchestrator.planning import rough_sizes
from orchestrator.planning import lockfile_check
from orchestrator.base import machine_info
from orchestrator.planning import recipe_to_steps as plan
from orchestrator.toolchain import load as toolchain
from orchestrator.base import units
from orchestrator.planning.resource_needs import (Forecast, Moment)
from orchestrator.base.errors import (EnvironmentProblem, NetworkProblem, OrchestrateError, StepError)
from orchestrator.toolchain.families import load as families_of
from orchestrator.engine.step_kinds import RELEASED
from orchestrator.planning.lockfile import Lock
from orchestrator.planning.recipe_to_steps import (Choices, Plan, Sources)
from orchestrator.toolchain.quantizer_facts import refuse_fallbacks
from orchestrator.recipe import (Recipe, Vocabulary, load_many)
from orchestrator.base.step_values import (Outcome, Step, StepResult)
from orchestrator.engine.scheduler import (Listener, Runner, Settings, needed, release)
from orchestrator.planning.resolve_sources import Resolver
from orchestrator.engine.artifact_store import Store
from orchestrator.toolchain.load import ToolChain

_COMMIT = re.compile(r"[0-9a-f]{40}")

# The commit of a repository's branch or tag, by both; or why nobody could say.
Commits = dict[tuple[str, str], str | NetworkProblem]


@dataclass(frozen=True)
class Session:
    """What all commands share; ``locks`` says what becomes of the recipes' locks."""

    store: Store
    settings: Settings
    choices: Choices
    listener: Listener
    locks: lockfile_check.Mode = "use"

    @property
    def runner(self) -> Runner:
        """A runner on this session's store."""
        return Runner(self.store, self.settings, self.listener)


@dataclass(frozen=True)
class Outlook:
    """A plan with what is known of its sizes before it runs."""

    plan: Plan
    forecast: Forecast | None


def choices(
    only: Sequence[str] = (), profile: str = "", backend: str = "", verify: bool = True
) -> Choices:
    """The command line's choices on this machine."""
    return Choices(tuple(only), profile, backend, verify, machine_info.architecture(), sys.platform)


def vocabulary(name: str) -> Vocabulary:
    """What a tool chain allows in a recipe."""
    chain = toolchain.load(name)
    spellings = {
        spelling: known
        for known, spec in chain.types.items()
        for spelling in (known, *spec.aliases)
    }
    known = families_of(chain.folder).names
    return Vocabulary(spellings, chain.tensor_types, chain.outtypes, known)


def load(paths: Sequence[Path]) -> list[Recipe]:
    """Read and validate recipes.

    Raises:
        RecipeError: With every problem of every recipe.
    """
    return list(load_many(lockfile_check.without_locks(paths), vocabulary))


def resolve(
    recipe: Recipe,
    chain: ToolChain,
    session: Session,
    lock: Lock | None = None,
    commits: Commits | None = None,
) -> Sources:
    """Make every source of a recipe definite; moving references as its lock says, if any.

    ``commits`` are those of the tool chains' branches that were resolved already; it is added
    to, so that recipes that are planned together mean the same commit.

    Raises:
        OrchestrateError: As :meth:`orchestrator.planning.resolve_sources.Resolver.resolve`.
    """
    resolver = Resolver(session.store.file_digest, session.settings.offline, lock)
    model = recipe.model
    corpora = {}
    if recipe.imatrix is not None and any(quant.imatrix for quant in recipe.quantize):
        corpora["calibration"] = resolver.resolve(recipe.imatrix.corpus)
    if recipe.verify.perplexity is not None and session.choices.verify:
        corpora["perplexity"] = resolver.resolve(recipe.verify.perplexity.corpus)
    merged = model.base is not None and model.delta is not None
    return Sources(
        commit=lock.toolchain.commit if lock else _commit(recipe, chain, session, commits),
        model=None if merged else resolver.resolve(model),
        base=resolver.resolve(model.base) if model.base is not None else None,
        delta=resolver.resolve(model.delta) if model.delta is not None else None,
        corpora=corpora,
    )


def _commit(recipe: Recipe, chain: ToolChain, session: Session, commits: Commits | None) -> str:
    wanted = recipe.toolchain.commit
    if wanted is None or _COMMIT.fullmatch(wanted):
        return wanted or chain.source.commit
    if session.settings.offline:
        raise EnvironmentProblem(
            f"{recipe.file}: which commit of {chain.name} {wanted!r} means cannot be asked offline",
            "Lock the recipe ('orchestrate lock'), name a full commit, or run without --offline.",
        )
    known: Commits = {} if commits is None else commits
    place = (chain.source.git, wanted)
    if place not in known:
        known[place] = _asked(*place)
    found = known[place]
    if isinstance(found, NetworkProblem):
        raise found
    return found


def _asked(url: str, revision: str) -> str | NetworkProblem:
    from orchestrator.sources import git  # noqa: PLC0415 - heavy

    try:
        return git.resolve(url, revision)
    except NetworkProblem as error:
        return error


def make(recipes: Sequence[Recipe], session: Session) -> list[Plan]:
    """Plan recipes: resolve what moves, then plan purely.

    Raises:
        UsageError: A recipe moved away from its lock, or has none and must have one.
    """
    commits: Commits = {}
    return [make_one(recipe, session, commits) for recipe in recipes]


def make_one(recipe: Recipe, session: Session, commits: Commits) -> Plan:
    """Plan one recipe; raises as :func:`make`, and for ``commits`` see :func:`resolve`."""
    chain = toolchain.load(recipe.toolchain.name)
    lock = lockfile_check.held(recipe, chain, session.choices, session.locks)
    sources = resolve(recipe, chain, session, lock, commits)
    one = plan.make(recipe, chain, sources, session.choices)
    return lockfile_check.hold(lock, one, session.store) if lock else one


def up_to_date(one: Plan, session: Session) -> bool:
    """Whether every target of a plan is in the store."""
    return all(session.store.find(key) is not None for key in one.targets)


def outlooks(
    plans: Sequence[Plan], session: Session, *, build: bool
) -> list[Outlook | OrchestrateError]:
    """Foretell the sizes of plans, each for itself.

    Args:
        plans: The plans.
        session: Its runner makes what the forecasts need.
        build: Whether a tool chain may be built for it; otherwise estimates are given
            where none is there.

    Returns:
        For each plan its outlook, or why its model cannot be made.
    """
    ready = [one for one in plans if one.forecast and (build or _built(one, session))]
    failed: dict[str, StepResult] = {}
    if ready:
        results = session.runner.run(plan.union(ready), [one.forecast for one in ready])
        failed = {r.step.key: r for r in results if r.outcome is Outcome.FAILED}
    return [_obstacle(one, failed) or _outlook(one, session) for one in plans]


def _built(one: Plan, session: Session) -> bool:
    """Whether a forecast costs no build: its tool chain is there."""
    tools = [step for step in one.steps if step.kind in ("build", "environment")]
    return all(session.store.find(step.key) is not None for step in tools)


def _obstacle(one: Plan, failed: Mapping[str, StepResult]) -> OrchestrateError | None:
    """The first step of a plan that failed, as an error with all that is known of it."""
    results = [failed[step.key] for step in one.steps if step.key in failed]
    return failure(results[0]) if results else None


def failure(result: StepResult) -> OrchestrateError:
    """A failed step's own error with its label before and the end of its log after it."""
    cause, text = result.cause, progress_listeners.failures([result])[0]
    if isinstance(cause, NetworkProblem):
        return NetworkProblem(text, wait=cause.wait)
    return (EnvironmentProblem if isinstance(cause, EnvironmentProblem) else StepError)(text)


def _outlook(one: Plan, session: Session) -> Outlook:
    artifact = session.store.find(one.forecast) if one.forecast else None
    fetch = _fetch_bytes(one, session)
    if artifact is None:
        forecast = rough_sizes.estimate(one, fetch, partial(_facts, session))
    else:
        facts = artifact.manifest["facts"]
        forecast = Forecast(facts["full"], facts["outputs"], fetch)
    return Outlook(resource_needs.with_sizes(one, forecast) if forecast else one, forecast)


def _facts(session: Session, step: Step) -> Mapping[str, object] | None:
    artifact = session.store.find(step.key)
    return None if artifact is None else artifact.manifest["facts"]


def _fetch_bytes(one: Plan, session: Session) -> int:
    outlines = [step for step in one.steps if step.kind in ("outline", "peek")]
    facts = [_facts(session, step) or {} for step in outlines]
    return sum(int(str(fact.get("fetch_bytes", 0))) for fact in facts)


def check_outputs(outlook: Outlook) -> None:
    """Refuse before work what the quantizer would refuse, or do silently, after it.

    Raises:
        StepError: Tensors would fall back, or an importance matrix is missing.
    """
    if outlook.forecast is None:
        return
    for output in outlook.plan.outputs:
        told = outlook.forecast.outputs.get(output.name, {})
        quant = output.quant
        if quant is None or not told:
            continue
        label = f"{outlook.plan.recipe.name} {output.name}"
        refuse_fallbacks(label, told.get("fallbacks", ()), quant.allow_fallback)
        if told.get("needs_imatrix") and not quant.imatrix:
            raise StepError(
                f"{label}: this type needs an importance matrix",
                "Add 'imatrix: {corpus: FILE}' to the recipe and 'imatrix: true' to the type.",
            )


def moments(outlook_list: Sequence[Outlook], session: Session) -> list[Moment]:
    """Disk and memory of everything that is to run, step by step."""
    steps = plan.union([one.plan for one in outlook_list])
    hits = _hits(steps, outlook_list, session)
    return resource_needs.timeline(steps, hits, session.settings.keep)


def _hits(steps: Sequence[Step], outlook_list: Sequence[Outlook], session: Session) -> set[str]:
    targets = [key for one in outlook_list for key in one.plan.targets]
    work = needed(steps, targets, session.store)
    return {step.key for step in steps if step.key not in work}


def check_room(outlook_list: Sequence[Outlook], session: Session, out: Path) -> None:
    """Say no before starting when disk or memory is short.

    Raises:
        EnvironmentProblem: With the numbers of the step that needs most, and what helps.
    """
    times = moments(outlook_list, session)
    if not times:
        return
    peak = max(times, key=lambda moment: moment.disk)
    free = machine_info.disk_free(session.store.root)
    if peak.disk > free:
        raise EnvironmentProblem(
            f"{units.size(peak.disk)} of disk are needed at the peak ('{peak.step.label}'), "
            f"{units.size(free)} are free at {session.store.root}",
            _disk_advice(outlook_list, session, free),
        )
    hungry = max(times, key=lambda moment: moment.memory)
    memory = machine_info.memory_total()
    if memory and hungry.memory > memory:
        raise EnvironmentProblem(
            f"'{hungry.step.label}' needs about {units.size(hungry.memory)} of memory, "
            f"this machine has {units.size(memory)}",
            "Use a machine with more memory, a smaller context, or --no-verify for a file "
            "that is only made here.",
        )
    _check_out(outlook_list, session, out)


def _disk_advice(outlook_list: Sequence[Outlook], session: Session, free: int) -> str:
    """Whether ``--keep final`` would be enough."""
    lean = replace(session, settings=replace(session.settings, keep="final"))
    least = max((moment.disk for moment in moments(outlook_list, lean)), default=0)
    elsewhere = "set ORCHESTRATE_HOME to a larger disk"
    if least <= free:
        return f"'--keep final' needs {units.size(least)}; or {elsewhere}."
    return f"Free some space ('orchestrate store gc'), or {elsewhere}."


def _check_out(outlook_list: Sequence[Outlook], session: Session, out: Path) -> None:
    """On another disk than the store's, the outputs are copied."""
    folder = machine_info.existing(out)
    if folder.stat().st_dev == machine_info.existing(session.store.root).stat().st_dev:
        return
    forecasts = [one.forecast for one in outlook_list if one.forecast]
    size = sum(int(told.get("size", 0)) for one in forecasts for told in one.outputs.values())
    free = machine_info.disk_free(folder)
    if size > free:
        raise EnvironmentProblem(
            f"{units.size(size)} of outputs do not fit in {out} ({units.size(free)} free)",
            "Choose another --out; on the store's own disk outputs need no extra space.",
        )


def execute(plans: Sequence[Plan], session: Session) -> list[StepResult]:
    """Run plans as one graph; shared steps run once."""
    steps = plan.union(plans)
    targets = list(dict.fromkeys(key for one in plans for key in one.targets))
    return session.runner.run(steps, targets)


def tidy(plans: Sequence[Plan], session: Session) -> None:
    """Release what the policy does not keep, of runs that were cut short too.

    What is still to be made keeps its inputs, for the run that goes on from there.
    """
    steps, keep = plan.union(plans), session.settings.keep
    targets = {key for one in plans for key in one.targets}
    loose = [
        step
        for step in steps
        if step.key not in targets
        and step.keep in RELEASED[keep]
        and session.store.find(step.key, quick=True) is not None
    ]
    if loose:
        unmade = needed(steps, targets, session.store).values()
        awaited = {key for step in unmade for key in step.inputs.values()}
        release(session.store, [step for step in loose if step.key not in awaited], keep)
