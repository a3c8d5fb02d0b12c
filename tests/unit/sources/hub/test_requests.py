"""huggingface_hub's real client against a Hub on this machine: what is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.base.step_values import Progress
from orchestrator.sources.hub import download
from tests.hub import Hub, Repo
from tests.support.hub_repositories import COMMIT, CONFIG, INDEX, NAME, SECOND, SIZE, WEIGHTS, same


def test_importing_the_module_does_not_import_the_client() -> None:
    code = "import sys, orchestrator.sources.hub.download; print('huggingface_hub' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_a_full_commit_is_not_resolved_again(server: Hub) -> None:
    assert download.resolve(NAME, COMMIT) == COMMIT
    assert server.requests == []


def test_a_branch_becomes_the_commit(server: Hub) -> None:
    assert download.resolve(NAME, "main") == COMMIT
    assert download.resolve("org/data", "main", repo_type="dataset") == COMMIT


def test_the_listing_has_sizes_and_digests(server: Hub, repo: Repo) -> None:
    listed = {file.path: file for file in download.listing(NAME, COMMIT)}
    assert sorted(listed) == repo.paths()
    assert listed[WEIGHTS] == download.HubFile(WEIGHTS, SIZE, repo.sha256(WEIGHTS), None)
    assert listed[CONFIG].sha256 is None
    assert listed[CONFIG].blob_id == repo.blob_id(CONFIG)


def test_a_model_is_fetched_in_one_format_without_its_code(server: Hub, repo: Repo) -> None:
    listed = download.listing(NAME, COMMIT)
    chosen = download.select(
        listed,
        read_index=lambda path: download.read_file(NAME, COMMIT, path),
        quantized=lambda path: download.is_quantized(NAME, COMMIT, path),
    )
    folder = download.fetch(NAME, COMMIT, chosen.paths, listed=listed)
    assert same(folder, repo, WEIGHTS, SECOND, INDEX, CONFIG, "tokenizer.model")
    assert not {"pytorch_model.bin", "modeling.py"} & server.targets()
    assert server.served(WEIGHTS) == SIZE


def test_what_is_cached_is_not_fetched_again(server: Hub) -> None:
    listed = download.listing(NAME, COMMIT)
    download.fetch(NAME, COMMIT, [WEIGHTS, CONFIG], listed=listed)
    before = len(server.requests)
    download.fetch(NAME, COMMIT, [WEIGHTS, CONFIG], listed=listed)
    assert len(server.requests) == before


def test_names_with_glob_characters_fetch_only_themselves(server: Hub, repo: Repo) -> None:
    (repo.folder / "a[1].json").write_text("{}")
    (repo.folder / "a1.json").write_text("{}")
    folder = download.fetch(NAME, COMMIT, ["a[1].json"])
    assert (folder / "a[1].json").is_file()
    assert "a1.json" not in server.targets()


def test_a_dataset_file_is_fetched(server: Hub, repo: Repo) -> None:
    (repo.folder / "wiki.zip").write_bytes(b"PK")
    folder = download.fetch("org/data", COMMIT, ["wiki.zip"], repo_type="dataset")
    assert same(folder, repo, "wiki.zip")
    assert "datasets--org--data" in str(folder)


def test_small_files_are_copied_where_they_are_wanted(
    server: Hub, repo: Repo, tmp_path: Path
) -> None:
    download.small_files(NAME, COMMIT, [CONFIG, "tokenizer.model"], tmp_path / "model")
    assert same(tmp_path / "model", repo, CONFIG, "tokenizer.model")
    assert not (tmp_path / "model" / CONFIG).is_symlink()
    assert WEIGHTS not in server.targets()


def test_progress_counts_every_byte(server: Hub) -> None:
    seen: list[Progress] = []
    download.fetch(NAME, COMMIT, [WEIGHTS, SECOND, CONFIG], report=seen.append)
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
    download.fetch(NAME, COMMIT, [WEIGHTS])
    tokens = {(r.origin, r.token) for r in server.requests if r.target == WEIGHTS}
    assert tokens == {("hub", "hf_secret"), ("storage", "")}
