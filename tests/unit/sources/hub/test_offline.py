"""What is cached is enough, and what is not is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.sources.hub import download
from orchestrator.sources.hub.cache import cache_root
from tests.hub import Hub, Repo
from tests.support.hub_repositories import COMMIT, CONFIG, NAME, SECOND, WEIGHTS, same


def test_offline_uses_the_cache_and_asks_nothing(server: Hub, repo: Repo) -> None:
    online = {file for file in download.listing(NAME, COMMIT) if file.path in (WEIGHTS, CONFIG)}
    download.fetch(NAME, COMMIT, [WEIGHTS, CONFIG])
    before = len(server.requests)
    assert set(download.listing(NAME, COMMIT, offline=True)) == online
    assert same(download.fetch(NAME, COMMIT, [WEIGHTS], offline=True), repo, WEIGHTS)
    assert len(server.requests) == before


def test_offline_with_nothing_cached_says_so(hub_cache: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="not in the Hub cache") as failure:
        download.fetch(NAME, COMMIT, [CONFIG], offline=True)
    assert failure.value.exit_code == 3


def test_offline_names_what_is_missing(server: Hub) -> None:
    listed = download.listing(NAME, COMMIT)
    download.fetch(NAME, COMMIT, [CONFIG], listed=listed)
    with pytest.raises(EnvironmentProblem, match=WEIGHTS):
        download.fetch(NAME, COMMIT, [CONFIG, WEIGHTS], listed=listed, offline=True)


def test_offline_a_branch_that_was_never_fetched_is_unknown(hub_cache: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be resolved to a commit offline"):
        download.resolve(NAME, "main", offline=True)


def test_offline_a_branch_is_what_it_was(hub_cache: Path) -> None:
    refs = hub_cache / "models--org--tiny" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT)
    assert download.resolve(NAME, "main", offline=True) == COMMIT


def test_a_branch_is_remembered_as_the_client_does_it(hub_cache: Path) -> None:
    download.remember(NAME, "main", "0" * 40)
    download.remember(NAME, "main", COMMIT)
    download.remember(NAME, "refs/pr/1", COMMIT)
    download.remember(NAME, "../../x", COMMIT)
    assert download.resolve(NAME, "main", offline=True) == COMMIT
    assert download.resolve(NAME, "refs/pr/1", offline=True) == COMMIT
    refs = hub_cache / "models--org--tiny" / "refs"
    files = [path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file()]
    assert sorted(files) == ["main", "refs/pr/1"]
    assert not list(hub_cache.rglob("x"))


def test_a_cache_without_links_works_too(
    server: Hub, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.sources.hub.client.links_work", lambda _root: False)
    folder = download.fetch(NAME, COMMIT, [WEIGHTS, CONFIG])
    assert not any((folder / path).is_symlink() for path in (WEIGHTS, CONFIG))
    assert list((folder.parents[1] / "blobs").iterdir()) == []  # nothing is kept twice
    assert {f.sha256 for f in download.listing(NAME, COMMIT, offline=True)} == {None}
    assert same(
        download.fetch(NAME, COMMIT, [WEIGHTS, CONFIG], offline=True), repo, WEIGHTS, CONFIG
    )


def test_offline_damage_is_found_and_not_removed(server: Hub) -> None:
    folder = download.fetch(NAME, COMMIT, [SECOND])
    (folder / SECOND).write_bytes(b"x" * 1000)
    with pytest.raises(StepError, match="in the Hub cache and wrong"):
        download.fetch(NAME, COMMIT, [SECOND], offline=True)
    assert (folder / SECOND).exists()


def test_the_cache_is_where_the_environment_says_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", "$HOME/hf")
    assert cache_root(None) == Path(os.environ["HOME"]) / "hf" / "hub"
    monkeypatch.delenv("HF_HOME")
    assert cache_root(None) == Path(os.environ["XDG_CACHE_HOME"]) / "huggingface" / "hub"
    assert cache_root(tmp_path) == tmp_path
