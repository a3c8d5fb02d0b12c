"""What plans get from shared caches before they run, and what is sent there by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.engine import released_manifests, step_kinds
from orchestrator.engine.shared_cache.shared_cache import SharedCache
from orchestrator.planning import recipe_to_steps as plan
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs.execute_plans import up_to_date
from orchestrator.runs.session import Session


@dataclass(frozen=True)
class Sent:
    """What was sent: results that the caches now have, and the files and bytes that were new."""

    results: int
    files: int
    size: int


def bring(plans: Sequence[Plan], session: Session) -> set[str]:
    """Bring what is asked for and shared caches hold, and what says how it was made.

    So plans that others have run are up to date here before anything is predicted or built.

    Returns:
        The keys of what came.

    Raises:
        DiskFull: The store has no room.
        Interrupted: The run is interrupted.
    """
    if session.known.cache is None:
        return set()
    steps = plan.union(plans)
    came = session.runner.bring(steps, list(dict.fromkeys(k for one in plans for k in one.targets)))
    whole = [one for one in plans if came & {*one.targets} and up_to_date(one, session)]
    told = [step.key for step in plan.union(whole) if step_kinds.tells(step)]
    came |= session.runner.bring(steps, told)
    _remember(whole, session, session.known.cache)
    return came


def remember(plans: Sequence[Plan], session: Session) -> None:
    """Keep how workers with stores of their own made what did not come here."""
    _remember(plans, session, SharedCache(session.settings.remote, session.store.warn))


def _remember(plans: Sequence[Plan], session: Session, cache: SharedCache) -> None:
    """Keep the caches' records of steps that are not done here: provenance names them."""
    root = session.store.root
    unknown = [
        step.key
        for step in plan.union(plans)
        if session.known.find(step.key, quick=True) is None
        and session.known.recall(step.key) is None
    ]
    for key, manifest in cache.recall(unknown).items():
        released_manifests.keep(root, key, manifest)


def push(plans: Sequence[Plan], session: Session) -> Sent:
    """Send what the store has of plans to the shared caches, and wait for it.

    Raises:
        EnvironmentProblem: A cache failed; it was said why.
        UsageError: There is none that may be written to.
    """
    cache = required(session)
    writable = [one for one in cache.places if not one.place.read_only]
    if not writable:
        raise UsageError("every cache is marked read-only", "See ORCHESTRATE_REMOTE.")
    sizes: list[int] = []
    results = 0
    for step in plan.union(plans):
        with session.store.hold([step.key]):
            made = session.known.find(step.key)
            if made is not None:
                results += cache.push(step, made, sizes.append)
    if any(one not in cache.places for one in writable):
        raise EnvironmentProblem(
            "not all was sent: a shared cache failed", "Send the rest with the same command."
        )
    return Sent(results, len(sizes), sum(sizes))


def required(session: Session) -> SharedCache:
    """The shared caches.

    Raises:
        UsageError: There is none.
    """
    if session.known.cache is None:
        raise UsageError(
            "there is no shared cache",
            "Name one: ORCHESTRATE_REMOTE=s3://bucket/prefix, see docs/how-to/shared-cache.md.",
        )
    return session.known.cache
