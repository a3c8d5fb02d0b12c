"""What the commands do, without the command line: load, resolve, plan, predict, run.

Every function takes and gives frozen values; the store and the listener are handed in.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orchestrator.base import machine_info
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.known_artifacts import KnownArtifacts
from orchestrator.engine.scheduler import Carrier, Listener, Runner, Settings
from orchestrator.engine.shared_cache.places import Remote
from orchestrator.planning import lockfile_check
from orchestrator.planning.recipe_to_steps import Choices


@dataclass(frozen=True)
class Session:
    """What all commands share; ``locks`` says what becomes of the recipes' locks.

    ``cluster`` carries the steps of runs; what tells what a run will need is done here.
    ``known`` is what was found in the store; every session begins with nothing.
    """

    store: Store
    settings: Settings
    choices: Choices
    listener: Listener
    locks: lockfile_check.Mode = "use"
    cluster: Carrier | None = None
    known: KnownArtifacts = field(init=False)

    def __post_init__(self) -> None:
        """Know nothing of the store yet, nor after ``replace`` has put another in its place."""
        object.__setattr__(self, "known", KnownArtifacts(self.store, self.settings.remote))

    @property
    def runner(self) -> Runner:
        """A runner on this session's store and this machine."""
        return Runner(self.store, self.settings, self.listener, known=self.known)

    def alone_in(self, store: Store) -> Session:
        """The same with an empty store, where nothing comes from or goes to anybody else."""
        return replace(self, store=store, settings=replace(self.settings, remote=Remote()))

    @property
    def wide_runner(self) -> Runner:
        """A runner on this session's store and on its cluster, if it has one."""
        return Runner(self.store, self.settings, self.listener, self.cluster, self.known)


def choices(
    only: Sequence[str] = (), profile: str = "", backend: str = "", verify: bool = True
) -> Choices:
    """The command line's choices on this machine."""
    return Choices(tuple(only), profile, backend, verify, machine_info.architecture(), sys.platform)
