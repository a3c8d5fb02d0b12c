"""What belongs to a publication, in a folder and in a repository of a Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import EnvironmentProblem, StepError, UsageError
from orchestrator.sources.hub import dates
from orchestrator.workflows.drafting import published_files
from tests.hub import Hub, Repo
from tests.support.gguf_pairs import Model, write_gguf, write_parts

COMMIT, OLD, NEW = ("8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16", "1" * 40, "2" * 40)
FIRST, LATER = "2025-03-01T10:00:00.000Z", "2025-03-02T10:00:00.000Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A publication: a file, a split one, a matrix, a card, and what is no language model."""
    place = tmp_path / "served"
    (place / "big").mkdir(parents=True)
    write_gguf(place / "m-Q4_0.gguf", Model())
    write_parts(place / "big", Model(), (2,), stem="m-Q8_0")
    for name in ("m.imatrix", "imatrix.gguf", "mmproj-m-f16.gguf"):
        (place / name).write_bytes(b"GGUF")
    (place / "README.md").write_text("---\nbase_model: org/base\n---\n", encoding="utf-8")
    return place


@pytest.fixture
def hub(folder: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    names = ("m-Q4_0.gguf", "big/m-Q8_0-00001-of-00002.gguf")
    repo = Repo(
        folder,
        COMMIT,
        card={"base_model": ["org/base"]},
        dates=dict(zip(names, (FIRST, LATER), strict=True)),
        history=((NEW, LATER), (OLD, FIRST)),
    )
    with Hub({"org/m": repo}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_a_folder_and_a_repository_are_the_same_files(folder: Path, hub: Hub) -> None:
    near, far = published_files.here(folder, file_sha256), published_files.on_hub("org/m")

    for place in (near, far):
        assert {one.name: len(one.digests) for one in place.files} == {
            "big/m-Q8_0-00001-of-00002.gguf": 2,
            "m-Q4_0.gguf": 1,
        }
        assert place.bases == ("org/base",)
        assert len(place.matrices) == 2
    assert [one.digests for one in near.files] == [one.digests for one in far.files]
    assert [one.size for one in near.files] == [one.size for one in far.files]
    assert far.where == {"hub": "org/m", "revision": COMMIT}
    assert (near.uploaded, far.uploaded) == ("", LATER)


def test_any_part_is_the_whole_file(folder: Path) -> None:
    place = published_files.here(folder / "big" / "m-Q8_0-00002-of-00002.gguf", file_sha256)

    assert [one.name for one in place.files] == ["m-Q8_0-00001-of-00002.gguf"]


def test_an_incomplete_set_is_refused(folder: Path, hub: Hub) -> None:
    (folder / "big" / "m-Q8_0-00002-of-00002.gguf").unlink()

    with pytest.raises(StepError, match=r"m-Q8_0-00002-of-00002\.gguf"):
        published_files.here(folder, file_sha256)
    with pytest.raises(StepError, match=r"m-Q8_0-00002-of-00002\.gguf"):
        published_files.on_hub("org/m")


def test_a_place_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no GGUF files"):
        published_files.here(tmp_path, file_sha256)
    with pytest.raises(UsageError, match="there is no file or folder nowhere"):
        published_files.on_hub("nowhere")
    with pytest.raises(EnvironmentProblem, match="org/m cannot be read offline"):
        published_files.on_hub("org/m", offline=True)


@pytest.mark.parametrize(
    ("time", "found"),
    [(LATER, (NEW, LATER)), ("2025-03-01T23:00:00Z", (OLD, FIRST)), ("2024-01-01", ("", ""))],
)
def test_the_commit_at_a_time_is_the_newest_not_after_it(
    hub: Hub, time: str, found: tuple[str, str]
) -> None:
    assert dates.commit_at("org/m", time) == found
