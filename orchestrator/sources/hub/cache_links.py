"""The names of a commit's files in the Hub cache, as the Hub's client makes them.

Nothing of an answer becomes a path here but what passed :mod:`orchestrator.sources.hub.answers`.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from orchestrator.sources.choose_model_files import HubFile
from orchestrator.sources.hub.cache import CachedRepo


def show(cache: CachedRepo, commit: str, files: Sequence[HubFile], *, links: bool) -> None:
    """Let a snapshot folder hold files whose blobs are there.

    Args:
        cache: The repository in the cache.
        commit: The full commit.
        files: Files of it.
        links: Whether the file system has symbolic links; without them the files themselves go
            to the snapshot and no blob is kept.
    """
    for file in files:
        place, blob = cache.snapshot(commit) / file.path, cache.blob(file.digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{os.getpid()}.{threading.get_ident()}.tmp")
        if links:
            fresh.symlink_to(os.path.relpath(blob, place.parent))
        else:
            shutil.copyfile(blob, fresh)
        fresh.replace(place)
    if not links:
        _drop({cache.blob(file.digest) for file in files})


def _drop(blobs: set[Path]) -> None:
    for blob in blobs:
        blob.unlink(missing_ok=True)
