"""What one run knows of the store, so that it asks for each key once while nothing happens.

An answer holds for moments, not for hours: another process may remove what was found. So the
answers are dropped after all work, and what is going to be read as an input is held and asked
for afresh (see ``step_worker``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from orchestrator.base.step_values import JSON, Step
from orchestrator.engine import released_manifests
from orchestrator.engine.artifact_store import Artifact, Store
from orchestrator.engine.shared_cache.places import Remote
from orchestrator.engine.shared_cache.shared_cache import SharedCache
from orchestrator.engine.shared_cache.uploads import Uploads

# What is known of a key's artifact; None where there is none.
Find = Callable[[str], object]


@dataclass(frozen=True)
class _Answer:
    """What the store said; ``whole`` when files were looked at too, not the manifest only."""

    artifact: Artifact | None
    whole: bool


class KnownArtifacts:
    """The store's answers by key, and those of the caches that it shares; for one thread.

    Attributes:
        cache: Those caches; None without any.
        uploads: What is being sent there.
    """

    def __init__(
        self,
        store: Store,
        remote: Remote = Remote(),  # noqa: B008 - frozen
        cache: SharedCache | None = None,
    ) -> None:
        self._store = store
        self._answers: dict[str, _Answer] = {}
        self.cache = cache or (SharedCache(remote, store.warn) if remote.places else None)
        self.uploads = Uploads(self.cache, store, store.warn) if self.cache else None

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

    def ask_cache(self, steps: Iterable[Step], targets: Iterable[str]) -> None:
        """Ask the shared caches for what is not stored and wanted, or read to make that."""
        if self.cache is None:
            return
        by_key = {step.key: step for step in steps}
        level = [key for key in dict.fromkeys(targets) if key in by_key]
        seen = set(level)
        while missing := [key for key in level if self.find(key) is None]:
            held = self.cache.holds(missing)
            read = [by_key[key] for key in missing if key not in held]
            needed = (key for step in read for key in (*step.inputs.values(), *step.after))
            level = [key for key in dict.fromkeys(needed) if key in by_key and key not in seen]
            seen.update(level)

    def cached(self, keys: Iterable[str]) -> list[str]:
        """Of these keys those that a shared cache was found to hold, and the store does not."""
        if self.cache is None:
            return []
        return [key for key in self.cache.held(keys) if self.find(key) is None]

    def at_hand(self, key: str) -> object:
        """Something if a key's artifact is stored, or was found in a shared cache; else None."""
        return self.find(key) or (self.cached([key]) or None)

    def bring(self, key: str, received: Callable[[int, int], None]) -> Artifact | None:
        """As :meth:`SharedCache.bring`; for any thread."""
        found = self.cache.bring(key, self._store, received) if self.cache else None
        self._answers.pop(key, None)
        return found

    def recall(self, key: str) -> Mapping[str, JSON] | None:
        """How an artifact was made that is gone, or is elsewhere; None if that is not known."""
        return released_manifests.recall(self._store.root, key)

    def release(self, key: str) -> int:
        """As :meth:`Store.release`; the key is asked for again, and made here if it is wanted."""
        self._answers.pop(key, None)
        if self.cache is not None:
            self.cache.forget(key)
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
