"""Whether what a step made may be sent to a cache that others read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from orchestrator.base.errors import OrchestrateError
from orchestrator.base.step_values import JSON, Step
from orchestrator.engine.shared_cache.places import Place

TERMS = "terms"


def objection(step: Step, place: Place) -> str:
    """Why a step's result must not be in a cache; empty where it may.

    A private cache may have everything. Any other only what is free to pass on by the recipe's
    own word, and of no repository of the Hub whose readers must accept terms first.
    """
    if place.private:
        return ""
    terms: Mapping[str, JSON] = step.context.get(TERMS, {"why": "its licence is not stated"})
    if terms["why"]:
        return str(terms["why"])
    gated = [repo for repo in terms["hubs"] if _gated(repo)]
    return f"{gated[0]} is not open to everybody on the Hub" if gated else ""


@lru_cache
def _gated(repo: str) -> bool:
    """Whether not everybody may read a repository, or it does not say; asked once."""
    from orchestrator.sources.hub import client  # noqa: PLC0415 - its library is heavy

    try:
        told = client.repo_info(client.where_is(repo, "main", "model"))
    except OrchestrateError:
        return True
    return told.gated or told.private
