"""Looking after a cache: what is read, what goes, and whose clock counts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from orchestrator.engine.shared_cache import upkeep
from orchestrator.engine.shared_cache.upkeep import YOUNG_SECONDS
from tests.support.shared_caches import Machine, blob_of, change, flip, folder, learn_kind
from tests.support.signing_keys import keys

A, B, C = (letter * 64 for letter in "abc")


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_kind(monkeypatch)


def test_reading_all_of_it_finds_what_is_changed_or_missing(tmp_path: Path, url: str) -> None:
    here = Machine(tmp_path / "here", url)
    here.push({"x": b"sound"}, A)
    here.push({"x": b"changed"}, B)
    here.push({"x": b"missing"}, C)
    change(url, blob_of(b"changed"), flip)
    folder(url).remove([blob_of(b"missing")])

    found = dict(upkeep.verify(folder(url), ()))

    assert found == {
        "make aaaa": "",
        "make bbbb": f"{blob_of(b'changed')[-64:][:12]} is missing or changed",
        "make cccc": f"{blob_of(b'missing')[-64:][:12]} is missing or changed",
    }


def test_reading_says_what_is_not_trusted(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/cache"
    Machine(tmp_path / "here", url).push()

    [(_, problem)] = upkeep.verify(folder(url), (keys(tmp_path)[1],))

    assert problem == "it is not signed by a key that is trusted"


def test_the_results_that_were_sent_first_go(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/cache"
    here = Machine(tmp_path / "here", url)
    for number, key in enumerate((C, A, B)):
        here.push({"own": key[:1].encode() * 100, "shared": b"shared" * 10}, key)
        [manifest] = (tmp_path / "cache/v1/keys").rglob(f"{key}.json")
        os.utime(manifest, (1000.0 + number, 1000.0 + number))

    removed = upkeep.gc(folder(url), 270)

    assert removed.labels == ("make cccc",)
    assert (removed.files, removed.size) == (1, 100)
    assert Machine(tmp_path / "there", url).cache.holds([A, B, C]) == {A, B}
    assert Machine(tmp_path / "third", url).bring(A) is not None


def test_what_somebody_sends_now_stays_whatever_our_clock_says(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine(tmp_path / "here", url).push({"x": b"no manifest yet"}, A)
    [manifest] = folder(url).files("v1/keys")
    folder(url).remove([manifest.name])
    for skew in (-10 * YOUNG_SECONDS, 10 * YOUNG_SECONDS):
        with monkeypatch.context() as patch:
            now = time.time() + skew
            patch.setattr(time, "time", lambda now=now: now)
            if url.startswith("file"):  # signatures of S3 hold for minutes
                assert upkeep.gc(folder(url), None).files == 0

    assert upkeep.gc(folder(url), None).files == 0
    assert folder(url).size(blob_of(b"no manifest yet")) == 15


def test_old_rubbish_goes(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/cache"
    Machine(tmp_path / "here", url).push({"x": b"kept"}, A)
    parts = tmp_path / "cache/v1/parts"
    (parts / "half").write_bytes(b"half")
    (parts / "young").write_bytes(b"young")
    lost = tmp_path / "cache" / blob_of(b"lost")
    lost.parent.mkdir(parents=True, exist_ok=True)
    lost.write_bytes(b"lost")
    for path in (parts / "half", lost, tmp_path / "cache" / blob_of(b"kept")):
        os.utime(path, (time.time() - 2 * YOUNG_SECONDS,) * 2)

    removed = upkeep.gc(folder(url), None)

    assert (removed.labels, removed.files, removed.size) == ((), 2, 8)
    assert [path.name for path in parts.iterdir()] == ["young"]
    assert Machine(tmp_path / "there", url).bring(A) is not None
