"""Transfers that break, and content that is wrong."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from orchestrator.base.errors import EnvironmentProblem, Interrupted, StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Progress
from orchestrator.sources.hub import download, resumable_download
from orchestrator.sources.hub.cache import CachedRepo, Meter
from orchestrator.sources.hub.read_errors import BrokenTransferError
from orchestrator.sources.hub.resumable_download import TRIES, Body, OpenRange, Transfer, stage
from tests.hub import Fault, Hub, Repo
from tests.support.hub_repositories import COMMIT, CONFIG, NAME, SECOND, SIZE, WEIGHTS, same


def test_a_dropped_connection_is_resumed(server: Hub, repo: Repo) -> None:
    server.fault(WEIGHTS, Fault("drop", after=2_000_000))
    folder = download.fetch(NAME, COMMIT, [WEIGHTS])
    assert same(folder, repo, WEIGHTS)
    first, second = server.asked(WEIGHTS)
    assert first.range == ""
    start = int(second.range.removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 2_000_000
    assert server.served(WEIGHTS) < 2 * SIZE


def test_a_killed_fetch_goes_on_where_it_was(server: Hub, repo: Repo, hub_cache: Path) -> None:
    blobs = hub_cache / "models--org--tiny" / "blobs"
    blobs.mkdir(parents=True)
    half = (repo.folder / WEIGHTS).read_bytes()[: SIZE // 2]
    (blobs / f"{repo.sha256(WEIGHTS)}.incomplete").write_bytes(half)
    folder = download.fetch(NAME, COMMIT, [WEIGHTS])
    assert same(folder, repo, WEIGHTS)
    assert server.served(WEIGHTS) == SIZE - SIZE // 2
    assert not list(blobs.glob("*.incomplete"))


def test_a_fetch_killed_for_real_goes_on_where_it_was(server: Hub, repo: Repo) -> None:
    server.fault(WEIGHTS, Fault("stall", after=2_000_000))
    code = f"""
from orchestrator.sources.hub import download
def report(progress):
    if progress.done > 1_000_000:
        print("half", flush=True)
download.fetch({NAME!r}, {COMMIT!r}, [{WEIGHTS!r}], report=report)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        child.kill()
    assert same(download.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)
    start = int(server.asked(WEIGHTS)[-1].range.removeprefix("bytes=").removesuffix("-"))
    assert 900_000 < start <= 2_000_000


def test_an_interrupted_fetch_keeps_what_has_arrived(server: Hub, repo: Repo) -> None:
    class Stop(BaseException):
        pass

    def interrupt(progress: Progress) -> None:
        if progress.done > SIZE // 2:
            raise Stop

    with pytest.raises(Stop):
        download.fetch(NAME, COMMIT, [WEIGHTS], report=interrupt)
    before = len(server.requests)
    assert same(download.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)
    resumed = [r for r in server.requests[before:] if r.target == WEIGHTS and r.range]
    assert resumed


def test_a_partial_file_that_is_too_long_starts_over(
    server: Hub, repo: Repo, hub_cache: Path
) -> None:
    blobs = hub_cache / "models--org--tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{repo.sha256(SECOND)}.incomplete").write_bytes(b"x" * 1001)
    assert same(download.fetch(NAME, COMMIT, [SECOND]), repo, SECOND)


def test_a_server_that_ignores_ranges_does_not_spoil_the_file(server: Hub, repo: Repo) -> None:
    server.fault(WEIGHTS, Fault("drop", after=2_000_000))
    server.fault(WEIGHTS, Fault("ignore-range"))
    seen: list[Progress] = []
    folder = download.fetch(NAME, COMMIT, [WEIGHTS], report=seen.append)
    assert same(folder, repo, WEIGHTS)
    assert [p.done for p in seen if p.note == "fetching"][-1] == SIZE
    assert len(server.asked(WEIGHTS)) == 2


def test_a_connection_that_always_drops_gives_up(server: Hub, pauses: list[float]) -> None:
    server.fault(WEIGHTS, Fault("drop", times=100))
    with pytest.raises(EnvironmentProblem, match="cannot be reached") as failure:
        download.fetch(NAME, COMMIT, [WEIGHTS])
    assert failure.value.exit_code == 3
    assert len(server.asked(WEIGHTS)) == 5
    assert len(pauses) == 4


def test_a_connection_that_drops_often_but_brings_bytes_each_time_does_not_give_up(
    server: Hub, repo: Repo, pauses: list[float]
) -> None:
    server.fault(WEIGHTS, Fault("drop", times=TRIES + 3, after=300_000))

    assert same(download.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)
    assert len(server.asked(WEIGHTS)) == TRIES + 4
    assert pauses == []


def test_a_corrupt_file_of_the_right_size_is_fetched_again(server: Hub, repo: Repo) -> None:
    server.fault(WEIGHTS, Fault("corrupt", at=1_500_000))
    folder = download.fetch(NAME, COMMIT, [WEIGHTS, SECOND])
    assert same(folder, repo, WEIGHTS, SECOND)
    assert len(server.asked(WEIGHTS)) == 2
    assert len(server.asked(SECOND)) == 1


def test_a_corrupt_small_file_is_fetched_again(server: Hub, repo: Repo) -> None:
    server.fault(CONFIG, Fault("corrupt", at=3))
    assert same(download.fetch(NAME, COMMIT, [CONFIG]), repo, CONFIG)
    assert len(server.asked(CONFIG)) == 2


@pytest.mark.parametrize("path", [WEIGHTS, CONFIG])
def test_a_file_that_stays_corrupt_fails_with_both_digests(
    server: Hub, repo: Repo, path: str
) -> None:
    server.fault(path, Fault("corrupt", times=10, at=3))
    with pytest.raises(StepError) as failure:
        download.fetch(NAME, COMMIT, [path])
    message = failure.value.message
    assert path in message
    assert f"expected {repo.etag(path)}, got " in message
    assert len(server.asked(path)) == 2


def test_damage_in_the_cache_is_found_and_repaired(server: Hub, repo: Repo) -> None:
    folder = download.fetch(NAME, COMMIT, [WEIGHTS])
    with (folder / WEIGHTS).open("r+b") as stream:
        stream.seek(100)
        stream.write(b"flipped")
    assert same(download.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)


def test_a_truncated_file_in_the_cache_is_repaired_even_if_verified(
    server: Hub, repo: Repo
) -> None:
    folder = download.fetch(NAME, COMMIT, [WEIGHTS])
    os.truncate((folder / WEIGHTS).resolve(), 10)
    assert same(download.fetch(NAME, COMMIT, [WEIGHTS], verified=[WEIGHTS]), repo, WEIGHTS)


def test_verified_files_are_not_hashed_again(server: Hub) -> None:
    download.fetch(NAME, COMMIT, [WEIGHTS, SECOND])
    seen: list[Progress] = []
    download.fetch(NAME, COMMIT, [WEIGHTS, SECOND], verified=[WEIGHTS], report=seen.append)
    assert [p.total for p in seen if p.note == "checking"] == [1000]


def test_two_fetches_at_once_download_once(server: Hub, repo: Repo) -> None:
    folders: list[Path] = []
    threads = [
        threading.Thread(target=lambda: folders.append(download.fetch(NAME, COMMIT, [WEIGHTS])))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 2
    assert same(folders[0], repo, WEIGHTS)
    assert server.served(WEIGHTS) == SIZE


def transfer(cache: CachedRepo, open_range: OpenRange) -> Transfer:
    """One that reports to nobody and knows no Xet."""

    def by_xet(path: str, _target: Path, _size: int) -> None:
        raise AssertionError(path)

    quiet = Meter(0, lambda _: None, "")
    return Transfer(cache, open_range, by_xet, quiet, quiet)


def test_waiting_for_another_process_is_said_and_ends_with_ctrl_c(
    server: Hub, repo: Repo, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = CachedRepo(hub_cache, NAME).lock(repo.sha256(WEIGHTS))
    lock.parent.mkdir(parents=True)
    said: list[str] = []

    def say(text: str, *words: object) -> None:
        said.append(text % words)
        run_process.stop_all()

    monkeypatch.setattr(resumable_download._log, "warning", say)
    with FileLock(lock), pytest.raises(Interrupted):
        download.fetch(NAME, COMMIT, [WEIGHTS])
    run_process.resume()
    assert said == [f"{WEIGHTS}: waiting for another process that fetches it"]


class FirstFileFailedError(Exception):
    pass


def test_one_failure_stops_the_other_transfers(tmp_path: Path) -> None:
    started = threading.Event()

    def endless() -> Iterator[bytes]:
        started.set()
        for _ in range(50_000_000):
            yield b"x"
        raise AssertionError("nobody stopped this transfer")

    @contextmanager
    def open_range(path: str, start: int) -> Iterator[Body]:
        if path == "bad":
            started.wait()
            raise FirstFileFailedError
        yield Body(start, 10**10, endless())

    files = [
        download.HubFile("bad", 10, "a" * 64, None),
        download.HubFile("long", 10**10, "b" * 64, None),
    ]
    cache = CachedRepo(tmp_path, NAME)
    with pytest.raises(FirstFileFailedError):
        stage(files, transfer(cache, open_range), 2)
    part = cache.blob("b" * 64 + ".incomplete")
    assert 0 < part.stat().st_size < 50_000_000


def test_an_answer_that_ends_early_without_an_error_is_asked_again(
    tmp_path: Path, pauses: list[float]
) -> None:
    content = b"0123456789"

    @contextmanager
    def open_range(path: str, start: int) -> Iterator[Body]:
        yield Body(start, len(content), iter([content[start : start + 4]]))

    cache = CachedRepo(tmp_path, NAME)
    digest = hashlib.sha256(content).hexdigest()
    file = download.HubFile("x", len(content), digest, None)
    stage([file], transfer(cache, open_range), 1)
    assert cache.blob(digest).read_bytes() == content
    assert pauses == [1.0, 2.0]


def test_a_weight_file_that_comes_too_slowly_is_given_up(
    tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable_download, "SLOW_SECONDS", 0.0)
    asked: list[int] = []

    @contextmanager
    def open_range(path: str, start: int) -> Iterator[Body]:
        asked.append(start)
        yield Body(start, 1000, iter([b"x"] * 1000))

    file = download.HubFile("x", 1000, "d" * 64, None)
    with pytest.raises(BrokenTransferError, match="only 1 bytes in 0 s"):
        stage([file], transfer(CachedRepo(tmp_path, NAME), open_range), 1)
    assert asked == [0] * TRIES
    assert len(pauses) == TRIES - 1


def test_a_file_too_large_for_http_comes_through_xet(
    server: Hub, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable_download, "LARGEST_BY_HTTP", 2000)
    taken: list[tuple[str, int]] = []

    def by_xet(_where: object, path: str, target: Path, size: int) -> None:
        taken.append((path, size))
        target.write_bytes((repo.folder / path).read_bytes())

    monkeypatch.setattr("orchestrator.sources.hub.client.by_xet", by_xet)
    assert same(download.fetch(NAME, COMMIT, [WEIGHTS, SECOND]), repo, WEIGHTS, SECOND)
    assert taken == [(WEIGHTS, SIZE)]
    assert server.asked(WEIGHTS) == []
