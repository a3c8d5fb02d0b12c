"""What a repository of the Hub says of itself: its commit, its card's metadata, who may read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.sources.hub import client


@dataclass(frozen=True)
class Card:
    """A model repository at a commit.

    Attributes:
        commit: The full commit that the revision stands for.
        metadata: The front matter of its README.md, as its authors wrote it: of any shape.
        gated: Whether readers must first accept terms.
    """

    commit: str
    metadata: Mapping[str, Any]
    gated: bool


def card(repo: str, revision: str) -> Card:
    """Ask the Hub about a model repository; costs one request.

    Raises:
        UsageError: No such repository or revision.
        EnvironmentProblem: No access, or no network.
    """
    told = client.repo_info(client.where_is(repo, revision, "model"))
    return Card(told.commit, told.card, told.gated)
