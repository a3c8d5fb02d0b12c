"""The ids by which machines know that they share a store or a cache, wherever each sees it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from orchestrator.base import atomic_file
from orchestrator.base.file_mutex import Locks
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.shared_cache.places import Place, Remote
from orchestrator.engine.shared_cache.remote_folder import PlaceProblem, RemoteFolder

_NAME = "store.id"
_IN_CACHES = "v1/id"


def store_id(store: Store) -> str:
    """The id that a store keeps in itself; made when it is first asked for.

    Raises:
        OSError: The store cannot be written to.
    """
    path = store.root / _NAME
    if not path.exists():
        with Locks(store.root / "locks").exclusive(_NAME):
            if not path.exists():  # nobody was faster
                atomic_file.put(path, uuid.uuid4().hex.encode("ascii"))
    return path.read_text("ascii")


def caches(remote: Remote, warn: Callable[[str], None]) -> dict[str, Place]:
    """The caches that may be written to, by the id that each keeps in itself.

    Args:
        remote: All that are named.
        warn: Told of each that does not answer or refuses.
    """
    found = {}
    for place in remote.places:
        if not place.read_only:
            try:
                found[_cache_id(RemoteFolder(place, remote.patience))] = place
            except PlaceProblem as error:
                warn(error.message)
    return found


def _cache_id(folder: RemoteFolder) -> str:
    if not folder.read([_IN_CACHES]):
        folder.create(_IN_CACHES, uuid.uuid4().hex.encode("ascii"))
    return folder.read([_IN_CACHES])[_IN_CACHES].decode("ascii", "replace")
