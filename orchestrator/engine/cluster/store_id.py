"""The id by which machines know that they share a store, wherever each of them sees it."""

from __future__ import annotations

import uuid

from orchestrator.base import atomic_file
from orchestrator.base.file_mutex import Locks
from orchestrator.engine.artifact_store import Store

_NAME = "store.id"


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
