"""What is removed from the Hub's cache, and what never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.sources.choose_model_files import HubFile
from orchestrator.sources.hub.cache import CachedRepo, discard

FILE = HubFile("deep/config.json", 3, None, "0" * 40)


@pytest.fixture
def cache(tmp_path: Path) -> CachedRepo:
    return CachedRepo(tmp_path / "cache", "org/name")


@pytest.fixture
def snapshot(cache: CachedRepo) -> Path:
    folder = cache.snapshot("c" * 40)
    (folder / "deep").mkdir(parents=True)
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "config.json"
    path.parent.mkdir()
    path.write_text("mine")
    return path


def test_a_file_and_its_blob_are_removed(cache: CachedRepo, snapshot: Path) -> None:
    blob = cache.blob("0" * 40)
    blob.parent.mkdir()
    blob.write_text("bad")
    (snapshot / FILE.path).symlink_to("../../../blobs/" + blob.name)

    discard(snapshot, [FILE])

    assert not blob.exists()
    assert not (snapshot / FILE.path).is_symlink()


def test_a_file_without_a_blob_is_removed(snapshot: Path) -> None:
    (snapshot / FILE.path).write_text("bad")

    discard(snapshot, [FILE])

    assert list((snapshot / "deep").iterdir()) == []


def test_the_file_that_a_link_out_of_the_cache_leads_to_stays(
    snapshot: Path, outside: Path
) -> None:
    (snapshot / FILE.path).symlink_to(outside)

    discard(snapshot, [FILE])

    assert outside.read_text() == "mine"
    assert not (snapshot / FILE.path).is_symlink()


def test_nothing_in_a_folder_outside_is_removed(snapshot: Path, outside: Path) -> None:
    (snapshot / "deep").rmdir()
    (snapshot / "deep").symlink_to(outside.parent, target_is_directory=True)

    discard(snapshot, [FILE])

    assert outside.read_text() == "mine"


def test_a_cache_that_is_a_link_itself_is_a_cache(
    cache: CachedRepo, snapshot: Path, tmp_path: Path
) -> None:
    (snapshot / FILE.path).write_text("bad")
    (tmp_path / "linked").symlink_to(cache.root, target_is_directory=True)
    linked = CachedRepo(tmp_path / "linked", cache.repo).snapshot(snapshot.name)

    discard(linked, [FILE])

    assert not (snapshot / FILE.path).exists()
