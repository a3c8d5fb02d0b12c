"""What one run knows of the store, so that it asks for each key once while nothing happens.

An answer holds for moments, not for hours: another process may remove what was found. So the
answers are dropped after all work, and what is going to be read as an input is held and asked
for afresh (see ``step_worker``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.engine.artifact_store import Artifact, Store

Find = Callable[[str], Artifact | None]


@dataclass(frozen=True)
class _Answer:
    """What the store said; ``whole`` when files were looked at too, not the manifest only."""

    artifact: Artifact | None
    whole: bool


class KnownArtifacts:
    """The store's answers by key; for one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: dict[str, _Answer] = {}

    def find(self, key: str, quick: bool = False) -> Artifact | None:
        """As :meth:`Store.find`, which is asked when it said less than is wanted, or nothing."""
        known = self._answers.get(key)
        if known is None or not (quick or known.whole):
            damaged = self._store.damaged
            found = self._store.find(key, quick)
            if self._store.damaged != damaged:
                self.forget()  # what was made from a damaged artifact may be gone with it
            known = _Answer(found, found is None or not quick)
            self._answers[key] = known
        return known.artifact

    def release(self, key: str) -> int:
        """As :meth:`Store.release`; the key is asked for again."""
        self._answers.pop(key, None)
        return self._store.release(key)

    def forget_removed(self) -> None:
        """Drop the answers about what another process has removed since."""
        gone = [
            key
            for key, known in self._answers.items()
            if known.artifact is not None and not known.artifact.path.exists()
        ]
        for key in gone:
            del self._answers[key]

    def forget(self) -> None:
        """Drop all answers: work was done, and time has passed."""
        self._answers.clear()
