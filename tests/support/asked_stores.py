"""Which keys a store is asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.engine.artifact_store import Artifact, Store


def count_finds(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often every store is asked for each key from now on."""
    asked: Counter[str] = Counter()
    find = Store.find

    def counted(self: Store, key: str, quick: bool = False) -> Artifact | None:
        asked[key] += 1
        return find(self, key, quick)

    monkeypatch.setattr(Store, "find", counted)
    return asked
