"""The Hub source with huggingface_hub's real client against a server on this machine."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import EnvironmentProblem, OrchestrateError, StepError, UsageError
from orchestrator.records import Progress
from orchestrator.sources import hub
from tests.hub import Fault, Hub, Repo

NAME = "org/tiny"
COMMIT = "8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16"
WEIGHTS = "model-00001-of-00002.safetensors"
SECOND = "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
SIZE = 3_000_000


def tensor_file(path: Path, size: int) -> None:
    """A safetensors file of one tensor, as large as wanted; the data is a hole or bytes."""
    header = json.dumps({"t": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + size)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(os.urandom(SIZE))
    (folder / SECOND).write_bytes(os.urandom(1000))
    (folder / "pytorch_model.bin").write_bytes(b"another format")
    (folder / CONFIG).write_text('{"model_type": "llama"}')
    (folder / "modeling.py").write_text("raise SystemExit")
    (folder / "tokenizer.model").write_bytes(b"\x0atokens")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": WEIGHTS, "b": SECOND}}))
    return Repo(folder, COMMIT)


@pytest.fixture
def server(repo: Repo, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({NAME: repo}, {"org/data": repo}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is taken."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def same(folder: Path, repo: Repo, *paths: str) -> bool:
    return all((folder / p).read_bytes() == (repo.folder / p).read_bytes() for p in paths)


# What is asked for


def test_importing_the_module_does_not_import_the_client() -> None:
    code = "import sys, orchestrator.sources.hub; print('huggingface_hub' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_a_full_commit_is_not_resolved_again(server: Hub) -> None:
    assert hub.resolve(NAME, COMMIT) == COMMIT
    assert server.requests == []


def test_a_branch_becomes_the_commit(server: Hub) -> None:
    assert hub.resolve(NAME, "main") == COMMIT
    assert hub.resolve("org/data", "main", repo_type="dataset") == COMMIT


def test_the_listing_has_sizes_and_digests(server: Hub, repo: Repo) -> None:
    listed = {file.path: file for file in hub.listing(NAME, COMMIT)}
    assert sorted(listed) == repo.paths()
    assert listed[WEIGHTS] == hub.HubFile(WEIGHTS, SIZE, repo.sha256(WEIGHTS), None)
    assert listed[CONFIG].sha256 is None
    assert listed[CONFIG].blob_id == repo.blob_id(CONFIG)


def test_a_model_is_fetched_in_one_format_without_its_code(server: Hub, repo: Repo) -> None:
    listed = hub.listing(NAME, COMMIT)
    chosen = hub.select(listed, read_index=lambda path: hub.read_file(NAME, COMMIT, path))
    folder = hub.fetch(NAME, COMMIT, chosen.paths, listed=listed)
    assert same(folder, repo, WEIGHTS, SECOND, INDEX, CONFIG, "tokenizer.model")
    assert not {"pytorch_model.bin", "modeling.py"} & server.targets()
    assert server.served(WEIGHTS) == SIZE


def test_what_is_cached_is_not_fetched_again(server: Hub) -> None:
    listed = hub.listing(NAME, COMMIT)
    hub.fetch(NAME, COMMIT, [WEIGHTS, CONFIG], listed=listed)
    before = len(server.requests)
    hub.fetch(NAME, COMMIT, [WEIGHTS, CONFIG], listed=listed)
    assert len(server.requests) == before


def test_names_with_glob_characters_fetch_only_themselves(server: Hub, repo: Repo) -> None:
    (repo.folder / "a[1].json").write_text("{}")
    (repo.folder / "a1.json").write_text("{}")
    folder = hub.fetch(NAME, COMMIT, ["a[1].json"])
    assert (folder / "a[1].json").is_file()
    assert "a1.json" not in server.targets()


def test_a_dataset_file_is_fetched(server: Hub, repo: Repo) -> None:
    (repo.folder / "wiki.zip").write_bytes(b"PK")
    folder = hub.fetch("org/data", COMMIT, ["wiki.zip"], repo_type="dataset")
    assert same(folder, repo, "wiki.zip")
    assert "datasets--org--data" in str(folder)


def test_small_files_are_copied_where_they_are_wanted(
    server: Hub, repo: Repo, tmp_path: Path
) -> None:
    hub.small_files(NAME, COMMIT, [CONFIG, "tokenizer.model"], tmp_path / "model")
    assert same(tmp_path / "model", repo, CONFIG, "tokenizer.model")
    assert not (tmp_path / "model" / CONFIG).is_symlink()
    assert WEIGHTS not in server.targets()


def test_progress_counts_every_byte(server: Hub) -> None:
    seen: list[Progress] = []
    hub.fetch(NAME, COMMIT, [WEIGHTS, SECOND, CONFIG], report=seen.append)
    fetching = [p for p in seen if p.note == "fetching"]
    checking = [p for p in seen if p.note == "checking"]
    total = SIZE + 1000 + 23
    assert {p.total for p in seen} == {total}
    assert fetching[-1].done == checking[-1].done == total
    assert [p.done for p in fetching] == sorted(p.done for p in fetching)


def test_the_token_goes_to_the_hub_and_not_to_the_storage(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.fetch(NAME, COMMIT, [WEIGHTS])
    tokens = {(r.origin, r.token) for r in server.requests if r.target == WEIGHTS}
    assert tokens == {("hub", "hf_secret"), ("storage", "")}


# Transfers that break


def test_a_dropped_connection_is_resumed(server: Hub, repo: Repo) -> None:
    server.fault(WEIGHTS, Fault("drop", after=2_000_000))
    folder = hub.fetch(NAME, COMMIT, [WEIGHTS])
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
    folder = hub.fetch(NAME, COMMIT, [WEIGHTS])
    assert same(folder, repo, WEIGHTS)
    assert server.served(WEIGHTS) == SIZE - SIZE // 2
    assert not list(blobs.glob("*.incomplete"))


def test_a_fetch_killed_for_real_goes_on_where_it_was(server: Hub, repo: Repo) -> None:
    server.fault(WEIGHTS, Fault("stall", after=2_000_000))
    code = f"""
from orchestrator.sources import hub
def report(progress):
    if progress.done > 1_000_000:
        print("half", flush=True)
hub.fetch({NAME!r}, {COMMIT!r}, [{WEIGHTS!r}], report=report)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        child.kill()
    assert same(hub.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)
    start = int(server.asked(WEIGHTS)[-1].range.removeprefix("bytes=").removesuffix("-"))
    assert 900_000 < start <= 2_000_000


def test_an_interrupted_fetch_keeps_what_has_arrived(server: Hub, repo: Repo) -> None:
    class Stop(BaseException):
        pass

    def interrupt(progress: Progress) -> None:
        if progress.done > SIZE // 2:
            raise Stop

    with pytest.raises(Stop):
        hub.fetch(NAME, COMMIT, [WEIGHTS], report=interrupt)
    before = len(server.requests)
    assert same(hub.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)
    resumed = [r for r in server.requests[before:] if r.target == WEIGHTS and r.range]
    assert resumed


def test_a_partial_file_that_is_too_long_starts_over(
    server: Hub, repo: Repo, hub_cache: Path
) -> None:
    blobs = hub_cache / "models--org--tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{repo.sha256(SECOND)}.incomplete").write_bytes(b"x" * 1001)
    assert same(hub.fetch(NAME, COMMIT, [SECOND]), repo, SECOND)


def test_a_server_that_ignores_ranges_does_not_spoil_the_file(server: Hub, repo: Repo) -> None:
    server.fault(WEIGHTS, Fault("drop", after=2_000_000))
    server.fault(WEIGHTS, Fault("ignore-range"))
    seen: list[Progress] = []
    folder = hub.fetch(NAME, COMMIT, [WEIGHTS], report=seen.append)
    assert same(folder, repo, WEIGHTS)
    assert [p.done for p in seen if p.note == "fetching"][-1] == SIZE


def test_a_connection_that_always_drops_gives_up(server: Hub, naps: list[float]) -> None:
    server.fault(WEIGHTS, Fault("drop", times=100))
    with pytest.raises(EnvironmentProblem, match="cannot be reached") as failure:
        hub.fetch(NAME, COMMIT, [WEIGHTS])
    assert failure.value.exit_code == 3
    assert len(server.asked(WEIGHTS)) == 5
    assert len(naps) == 4


def test_a_corrupt_file_of_the_right_size_is_fetched_again(server: Hub, repo: Repo) -> None:
    server.fault(WEIGHTS, Fault("corrupt", at=1_500_000))
    folder = hub.fetch(NAME, COMMIT, [WEIGHTS, SECOND])
    assert same(folder, repo, WEIGHTS, SECOND)
    assert len(server.asked(WEIGHTS)) == 2
    assert len(server.asked(SECOND)) == 1


def test_a_corrupt_small_file_is_fetched_again(server: Hub, repo: Repo) -> None:
    server.fault(CONFIG, Fault("corrupt", at=3))
    assert same(hub.fetch(NAME, COMMIT, [CONFIG]), repo, CONFIG)
    assert len(server.asked(CONFIG)) == 2


@pytest.mark.parametrize("path", [WEIGHTS, CONFIG])
def test_a_file_that_stays_corrupt_fails_with_both_digests(
    server: Hub, repo: Repo, path: str
) -> None:
    server.fault(path, Fault("corrupt", times=10, at=3))
    with pytest.raises(StepError) as failure:
        hub.fetch(NAME, COMMIT, [path])
    message = failure.value.message
    assert path in message
    assert f"expected {repo.etag(path)}, got " in message
    assert len(server.asked(path)) == 2


def test_damage_in_the_cache_is_found_and_repaired(server: Hub, repo: Repo) -> None:
    folder = hub.fetch(NAME, COMMIT, [WEIGHTS])
    with (folder / WEIGHTS).open("r+b") as stream:
        stream.seek(100)
        stream.write(b"flipped")
    assert same(hub.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)


def test_a_truncated_file_in_the_cache_is_repaired_even_if_verified(
    server: Hub, repo: Repo
) -> None:
    folder = hub.fetch(NAME, COMMIT, [WEIGHTS])
    os.truncate((folder / WEIGHTS).resolve(), 10)
    assert same(hub.fetch(NAME, COMMIT, [WEIGHTS], verified=[WEIGHTS]), repo, WEIGHTS)


def test_verified_files_are_not_hashed_again(server: Hub) -> None:
    hub.fetch(NAME, COMMIT, [WEIGHTS, SECOND])
    seen: list[Progress] = []
    hub.fetch(NAME, COMMIT, [WEIGHTS, SECOND], verified=[WEIGHTS], report=seen.append)
    assert [p.total for p in seen if p.note == "checking"] == [1000]


def test_two_fetches_at_once_download_once(server: Hub, repo: Repo) -> None:
    folders: list[Path] = []
    threads = [
        threading.Thread(target=lambda: folders.append(hub.fetch(NAME, COMMIT, [WEIGHTS])))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 2
    assert same(folders[0], repo, WEIGHTS)
    assert server.served(WEIGHTS) == SIZE


# Refusals


def refusal(server: Hub, name: str = NAME, path: str = CONFIG, revision: str = "main") -> str:
    with pytest.raises(OrchestrateError) as failure:
        hub.fetch(name, hub.resolve(name, revision), [path])
    assert "hf_secret" not in str(failure.value)
    assert failure.value.hint
    return str(failure.value)


def test_each_refusal_has_its_own_sentence(
    server: Hub, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repos["models"]["org/gated"] = replace(repo, gated=True)
    server.repos["models"]["org/private"] = replace(repo, private=True)
    told = {
        "401 private": refusal(server, "org/private"),
        "401 gated": refusal(server, "org/gated", WEIGHTS),
    }
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    told["403 gated"] = refusal(server, "org/gated", WEIGHTS)
    told["404 repository"] = refusal(server, "org/none")
    told["404 revision"] = refusal(server, revision="v9")
    told["file"] = refusal(server, path="confg.json")
    server.fault(CONFIG, Fault("status", status=404, code="EntryNotFound", method="*"))
    told["404 file"] = refusal(server)
    server.fault(WEIGHTS, Fault("status", status=401))
    told["401 token"] = refusal(server, path=WEIGHTS)
    server.fault(WEIGHTS, Fault("status", status=403))
    told["403"] = refusal(server, path=WEIGHTS)
    assert len(set(told.values())) == len(told)
    expected = {
        "401 private": ("org/private", "hf auth login", "HF_TOKEN"),
        "401 gated": ("no token was sent", f"{server.url}/org/gated", "hf auth login"),
        "403 gated": ("licence", f"Accept it at {server.url}/org/gated"),
        "404 repository": ("no model repository called org/none", "spelling"),
        "404 revision": ("no revision 'v9'", "commits/main"),
        "404 file": ("no file 'config.json'", COMMIT),
        "file": ("'confg.json'", "Did you mean 'config.json'?"),
        "401 token": ("refused the token", "make a new one"),
        "403": ("Your token may not read", "read access"),
    }
    for case, parts in expected.items():
        for part in parts:
            assert part in told[case], case


def test_a_granted_token_opens_a_gated_repository(
    server: Hub, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repos["models"]["org/gated"] = replace(
        repo, gated=True, granted=frozenset({"hf_granted"})
    )
    monkeypatch.setenv("HF_TOKEN", "hf_granted")
    assert same(hub.fetch("org/gated", COMMIT, [WEIGHTS]), repo, WEIGHTS)


@pytest.mark.parametrize(("refused", "code"), [(401, 3), (403, 3), (429, 3), (500, 3), (404, 2)])
def test_exit_codes(server: Hub, naps: list[float], refused: int, code: int) -> None:
    server.fault("api", Fault("status", status=refused, times=100, code="RepoNotFound"))
    with pytest.raises(OrchestrateError) as failure:
        hub.listing(NAME, COMMIT)
    assert failure.value.exit_code == code


@pytest.mark.parametrize("target", ["api", WEIGHTS])
def test_too_many_requests_waits_as_told_and_goes_on(
    server: Hub, repo: Repo, naps: list[float], target: str
) -> None:
    server.fault(target, Fault("status", status=429, headers={"Retry-After": "17"}))
    assert same(hub.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)
    assert naps == [17.0]


def test_a_very_long_retry_after_is_cut(server: Hub, naps: list[float]) -> None:
    server.fault("api", Fault("status", status=429, headers={"Retry-After": "86400"}))
    hub.listing(NAME, COMMIT)
    assert naps == [120.0]


@pytest.mark.parametrize("path", [WEIGHTS, CONFIG])
def test_a_server_that_stays_broken_is_given_up(server: Hub, naps: list[float], path: str) -> None:
    server.fault(path, Fault("status", status=500, times=100, method="*"))
    with pytest.raises(EnvironmentProblem, match="HTTP 500") as failure:
        hub.fetch(NAME, COMMIT, [path])
    assert failure.value.exit_code == 3
    assert "HF_ENDPOINT" in failure.value.hint
    assert 0 < len(naps) < 10


def test_no_network_says_what_helps(
    server: Hub, monkeypatch: pytest.MonkeyPatch, naps: list[float]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(EnvironmentProblem, match="cannot be reached") as failure:
        hub.resolve(NAME, "main")
    assert failure.value.exit_code == 3
    assert "--offline" in failure.value.hint
    assert "HF_ENDPOINT" in failure.value.hint
    assert len(naps) == 3


def test_an_answer_that_is_no_hubs_is_said_so(server: Hub) -> None:
    server.fault("api", Fault("status", status=200, body=b"<html>Log in</html>"))
    with pytest.raises(EnvironmentProblem, match="is not a Hub's answer"):
        hub.listing(NAME, COMMIT)


def test_a_name_that_is_none_is_a_usage_error(server: Hub) -> None:
    with pytest.raises(UsageError, match="not a repository name"):
        hub.resolve("a/b/c", "main")


def test_a_listing_with_a_path_outside_is_refused(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": "../evil", "size": 1}]}
    monkeypatch.setattr(Repo, "info", lambda *_: info)
    with pytest.raises(StepError, match=r"\.\./evil"):
        hub.listing(NAME, COMMIT)


# Offline


def test_offline_uses_the_cache_and_asks_nothing(server: Hub, repo: Repo) -> None:
    online = {file for file in hub.listing(NAME, COMMIT) if file.path in (WEIGHTS, CONFIG)}
    hub.fetch(NAME, COMMIT, [WEIGHTS, CONFIG])
    before = len(server.requests)
    assert set(hub.listing(NAME, COMMIT, offline=True)) == online
    assert same(hub.fetch(NAME, COMMIT, [WEIGHTS], offline=True), repo, WEIGHTS)
    assert len(server.requests) == before


def test_offline_with_nothing_cached_says_so(hub_cache: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="not in the Hub cache") as failure:
        hub.fetch(NAME, COMMIT, [CONFIG], offline=True)
    assert failure.value.exit_code == 3


def test_offline_names_what_is_missing(server: Hub) -> None:
    listed = hub.listing(NAME, COMMIT)
    hub.fetch(NAME, COMMIT, [CONFIG], listed=listed)
    with pytest.raises(EnvironmentProblem, match=WEIGHTS):
        hub.fetch(NAME, COMMIT, [CONFIG, WEIGHTS], listed=listed, offline=True)


def test_offline_a_branch_that_was_never_fetched_is_unknown(hub_cache: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be told offline"):
        hub.resolve(NAME, "main", offline=True)


def test_offline_a_branch_is_what_it_was(hub_cache: Path) -> None:
    refs = hub_cache / "models--org--tiny" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT)
    assert hub.resolve(NAME, "main", offline=True) == COMMIT


def test_offline_damage_is_found_and_not_removed(server: Hub) -> None:
    folder = hub.fetch(NAME, COMMIT, [SECOND])
    (folder / SECOND).write_bytes(b"x" * 1000)
    with pytest.raises(StepError, match="in the Hub cache and wrong"):
        hub.fetch(NAME, COMMIT, [SECOND], offline=True)
    assert (folder / SECOND).exists()


# Headers without weights


@pytest.fixture
def huge(server: Hub, repo: Repo) -> Path:
    """A file of 1 GiB of hole; its digest is never asked for, so any will do."""
    path = repo.folder / "huge.safetensors"
    tensor_file(path, 1 << 30)
    server.repos["models"][NAME] = replace(repo, digests={path.name: "0" * 64})
    return path


def test_the_header_of_a_huge_file_costs_kilobytes(server: Hub, huge: Path) -> None:
    start, size = hub.safetensors_headers(NAME, COMMIT, ["huge.safetensors"])["huge.safetensors"]
    assert size == huge.stat().st_size
    assert start == huge.open("rb").read(len(start))
    assert json.loads(start[8:])["t"]["shape"] == [1 << 30]
    assert server.served("huge.safetensors") < 64 << 10
    assert len(server.asked("huge.safetensors")) == 1


def test_a_long_header_costs_two_requests(server: Hub, repo: Repo) -> None:
    header = json.dumps({"__metadata__": {"filler": "x" * 200_000}}).encode()
    content = struct.pack("<Q", len(header)) + header
    (repo.folder / "long.safetensors").write_bytes(content + b"data")
    got = hub.safetensors_headers(NAME, COMMIT, ["long.safetensors"])
    assert got == {"long.safetensors": (content, len(content) + 4)}
    assert len(server.asked("long.safetensors")) == 2
    assert server.served("long.safetensors") == len(content)


def test_the_header_of_a_cached_file_costs_nothing(server: Hub, repo: Repo) -> None:
    tensor_file(repo.folder / "small.safetensors", 100)
    hub.fetch(NAME, COMMIT, ["small.safetensors"])
    before = len(server.requests)
    got = hub.safetensors_headers(NAME, COMMIT, ["small.safetensors"], offline=True)
    assert json.loads(got["small.safetensors"][0][8:])["t"]["shape"] == [100]
    assert len(server.requests) == before


@pytest.mark.parametrize(
    "content", [b"", b"short", b"\xff" * 64, struct.pack("<Q", 500) + b"{", b"<html></html>"]
)
def test_what_is_no_safetensors_file_is_one_sentence(
    server: Hub, repo: Repo, content: bytes
) -> None:
    (repo.folder / "bad.safetensors").write_bytes(content)
    with pytest.raises(StepError, match=r"bad\.safetensors does not start like"):
        hub.safetensors_headers(NAME, COMMIT, ["bad.safetensors"])


def test_a_server_that_ignores_ranges_is_not_read_to_the_end(server: Hub, huge: Path) -> None:
    server.fault("huge.safetensors", Fault("ignore-range"))
    got = hub.safetensors_headers(NAME, COMMIT, ["huge.safetensors"])
    assert got["huge.safetensors"][1] == huge.stat().st_size
    assert server.served("huge.safetensors") < 1 << 28


def test_a_missing_header_offline_is_named(hub_cache: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=WEIGHTS):
        hub.safetensors_headers(NAME, COMMIT, [WEIGHTS], offline=True)
