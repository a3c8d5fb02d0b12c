"""What a run needs stays while it goes on, whatever other processes remove."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.engine import artifact
from orchestrator.engine.artifact_store import Store
from tests.support.fake_steps import ROOT
from tests.support.stores import KEY, OTHER, open_store, put

HOLDER = """
import sys
from pathlib import Path
from tests.support.stores import open_store
with open_store(Path(sys.argv[1])).lease(sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> Store:
    return Store(tmp_path / "a store", warnings.append)


@contextmanager
def other_run(store: Store, *keys: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has begun a run with these keys."""
    argv = [sys.executable, "-c", HOLDER, str(store.root), *keys]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "held\n"
        yield running


def test_gc_spares_what_another_run_needs_even_if_it_comes_later(store: Store) -> None:
    put(store, {"f": b"x"})
    with other_run(store, KEY, OTHER) as running:
        put(store, {"f": b"x"}, OTHER)

        assert store.gc(max_bytes=0) == []
        assert store.release(KEY) == 0

        running.communicate("")
    assert {one.key for one in store.gc(max_bytes=0)} == {KEY, OTHER}


def test_the_lease_of_a_killed_run_holds_nothing(store: Store) -> None:
    put(store, {"f": b"x"})
    with other_run(store, KEY) as running:
        running.kill()
        running.wait()

        assert [one.key for one in store.gc(max_bytes=0)] == [KEY]
    assert list((store.root / "locks" / "leases").iterdir()) == []


def test_a_run_removes_what_only_it_needs(store: Store) -> None:
    put(store, {"f": b"x" * 5000})
    with store.lease([KEY]):
        assert store.release(KEY) > 0
        assert store.find(KEY) is None


def test_a_process_that_works_for_a_run_has_its_lease(store: Store) -> None:
    put(store, {"f": b"x" * 5000})
    with store.lease([KEY]):
        assert open_store(store.root).release(KEY) == 0
        assert pickle.loads(pickle.dumps(store)).release(KEY) > 0


def test_a_store_that_cannot_be_written_to_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "locks").write_text("no folder")

    with Store(tmp_path / "store", print).lease([KEY]):
        pass


@pytest.mark.parametrize("verify", [True, False])
def test_a_removal_is_no_damage(
    store: Store, warnings: list[str], monkeypatch: pytest.MonkeyPatch, verify: bool
) -> None:
    put(store, {"f": b"content"})
    real = artifact.problems

    def removed(looked_at: artifact.Artifact) -> list[str]:
        Store(store.root, warnings.append).gc(max_bytes=0)  # as another process does just now
        return list(real(looked_at))

    monkeypatch.setattr(artifact, "problems", removed)

    assert list(store.verify()) == [] if verify else store.find(KEY) is None
    assert warnings == []
