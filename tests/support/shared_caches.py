"""Shared caches for tests: opened, filled, and looked into."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base.step_values import Step
from orchestrator.engine.artifact import Artifact
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.shared_cache.places import Place, Remote
from orchestrator.engine.shared_cache.remote_folder import RemoteFolder
from orchestrator.engine.shared_cache.shared_cache import SharedCache, blob
from tests.support.scheduler_runs import teach
from tests.support.stores import KEY, a_step, put

FILES: Mapping[str, bytes] = {"model.gguf": b"weights" * 1000, "sub/config.json": b"{}"}
MANIFEST = f"v1/keys/{KEY[:2]}/{KEY}.json"
FREE = {"terms": {"why": "", "hubs": []}}


def free_step(key: str = KEY) -> Step:
    """A step whose result anybody may have."""
    return replace(a_step(key), context=FREE)


def remote(*urls: str, **others: object) -> Remote:
    """Private caches at these addresses."""
    return replace(Remote(tuple(Place(one, private=True) for one in urls)), **others)  # type: ignore[arg-type]


class Machine:
    """A store of its own and the caches that it shares; ``warned`` is what was said."""

    def __init__(self, root: Path, *urls: str, **others: object) -> None:
        self.warned: list[str] = []
        self.store = Store(root, self.warned.append)
        self.cache = SharedCache(remote(*urls, **others), self.warned.append)

    def make(self, files: Mapping[str, bytes] = FILES, key: str = KEY) -> Artifact:
        return put(self.store, files, key)

    def push(self, files: Mapping[str, bytes] = FILES, key: str = KEY) -> list[int]:
        """Make an artifact and send it; the bytes of the files that were sent."""
        sent: list[int] = []
        self.cache.push(free_step(key), self.make(files, key), sent.append)
        return sent

    def bring(self, key: str = KEY) -> Artifact | None:
        return self.cache.bring(key, self.store)

    def places(self) -> list[RemoteFolder]:
        return self.cache.places


def folder(url: str) -> RemoteFolder:
    """A look into a cache."""
    return RemoteFolder(Place(url), 30.0)


def change(url: str, name: str, how: Callable[[bytes], bytes]) -> None:
    """Change a file of a cache behind everybody's back."""
    looked = folder(url)
    [data] = looked.read([name]).values()
    looked.remove([name])
    assert looked.create(name, how(data))


def flip(data: bytes) -> bytes:
    """The bytes with one bit in the middle changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def blob_of(data: bytes) -> str:
    return blob(hashlib.sha256(data).hexdigest())


def learn_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the table know the kind of the tests' artifacts."""
    teach(monkeypatch, kind=lambda _task: {})
