"""Where publications go: what a folder and a repository on the Hub have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from orchestrator.base.step_values import Activity, Progress
from orchestrator.engine.progress_listeners import watched
from orchestrator.engine.step_worker import Listener
from orchestrator.workflows.publishing.publication_record import Changes
from orchestrator.workflows.publishing.published_files import Tree

UPLOAD = "upload"  # the kind of a transfer in logs
SHOWN = 1 << 20  # bytes; smaller files come and go unseen


@dataclass(frozen=True)
class Done:
    """What a publication did.

    Attributes:
        changes: What was sent, removed, and was there.
        url: Where to look at it.
        commit: The commit on the Hub, also when nothing had to be done; else empty.
    """

    changes: Changes
    url: str
    commit: str = ""


class Place(Protocol):
    """A destination."""

    @property
    def name(self) -> str:
        """As --to takes it."""

    @property
    def url(self) -> str:
        """Where to look at it."""

    def plan(self, tree: Tree) -> tuple[Changes, bool]:
        """What would have to be done, and whether the place is there; changes nothing."""

    def publish(self, tree: Tree, listener: Listener) -> Done:
        """Bring the place up to date."""


@contextmanager
def transfer(listener: Listener, label: str, total: int) -> Iterator[Callable[[Progress], None]]:
    """Show the transfer of ``total`` bytes, while it goes on."""
    if total < SHOWN:
        yield lambda _progress: None
        return
    with watched(listener, Activity(UPLOAD, label, label), total) as report:
        yield report
