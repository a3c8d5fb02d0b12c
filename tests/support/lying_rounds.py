"""Rounds of the campaign with a lying Hub: tries by chance, each from its own seed."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from tests.hub import Fault, Hub, Repo, lies
from tests.hub.content import as_json
from tests.support.campaigns.report import Report
from tests.support.hub_repositories import CONFIG, NAME, WEIGHTS
from tests.support.lying_hub import (
    STEPS,
    Outcome,
    asking,
    attempt,
    clean,
    left_behind,
    recovers,
    served,
)

_API_STEPS = ("resolve", "listing")


def round_of(work: Path, *, seed: int, seconds: float, least: int = 1) -> Report:
    """Tries until the time is over, and at least so many.

    Args:
        work: An empty folder.
        seed: Of the first try; each has the next one.
        seconds: How long.
        least: How many tries there are in any case.
    """
    report = Report()
    repo, end = served(work / "served"), time.monotonic() + seconds
    with Hub({NAME: repo}) as hub:
        while report.tries < least or time.monotonic() < end:
            _try(hub, repo, work / "inside", seed, report)
            seed += 1
    return report


def _try(hub: Hub, repo: Repo, folder: Path, seed: int, report: Report) -> None:
    chance = Random(seed)
    step = chance.choice(STEPS)
    name, target, fault = _lie(step, repo, chance)
    cache = folder / "deeper" / "cache"
    hub.forgive()
    hub.fault(target, fault)
    with asking(hub, cache):
        outcome = attempt(step, repo, cache)
        report.counts[step, outcome.kind] += 1
        found = _unexpected(outcome) + left_behind(folder, cache)
        hub.forgive()
        found += [] if recovers(repo, cache) else ["the next fetch does not succeed"]
    report.faults += [f"seed {seed}: {step}: {name}: {what}" for what in found]
    clean(folder)


def _lie(step: str, repo: Repo, chance: Random) -> tuple[str, str, Fault]:
    """Its name, what it is about, and the lie."""
    if step in _API_STEPS:
        named = {**lies.ABOUT_REPOSITORY, **lies.ABOUT_ANSWERS}
        name = chance.choice([*(one for one in named if one not in lies.SLOW), *["by chance"] * 60])
        if name in lies.ABOUT_REPOSITORY:
            return name, "api", lies.of_repository(repo, NAME, lies.ABOUT_REPOSITORY[name])
        if name in lies.ABOUT_ANSWERS:
            return name, "api", lies.ABOUT_ANSWERS[name]()
        return name, "api", lies.by_chance(as_json(repo.info(NAME, blobs=True)), chance)
    path = CONFIG if step == "small file" else WEIGHTS
    content = (repo.folder / path).read_bytes()
    files = [one for one in lies.ABOUT_FILES if one not in lies.SLOW]
    name = chance.choice([*files, *["by chance"] * 30])
    if name in lies.ABOUT_FILES:
        return name, path, lies.ABOUT_FILES[name](content)
    return name, path, lies.by_chance(content, chance)


def _unexpected(outcome: Outcome) -> list[str]:
    if outcome.hung:
        return ["not done in time"]
    return [] if outcome.bug is None else [f"bug: {outcome.bug!r}"]
