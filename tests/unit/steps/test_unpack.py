"""Archives of tools: from a server or a file, the right one or none."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.steps import unpack
from tests.support.package_index import Index, running
from tests.support.tasks import a_task


@pytest.fixture
def index() -> Iterator[Index]:
    with running() as server:
        yield server


def tarred(text: bytes = b"code") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        info = tarfile.TarInfo("llama-b7/llama-quantize")
        info.size, info.mode = len(text), 0o755
        tar.addfile(info, io.BytesIO(text))
    return made.getvalue()


def test_the_first_address_that_has_something_is_unpacked(tmp_path: Path, index: Index) -> None:
    sha256 = index.add("llama", "b7.tar.gz", tarred())
    base = index.url.removesuffix("/simple/")
    urls = [f"{base}/files/llama/b7.zip", f"{base}/files/llama/b7.tar.gz"]
    task = a_task(tmp_path, {"urls": urls}, {"urls": urls})

    facts = unpack.run(task)

    assert facts == {"sha256": sha256, "url": urls[1]}
    assert (task.workdir / "llama-b7" / "llama-quantize").read_bytes() == b"code"
    assert (task.workdir / "llama-b7" / "llama-quantize").stat().st_mode & 0o100


def test_an_archive_that_nobody_has_is_named_by_all_its_addresses(
    tmp_path: Path, index: Index
) -> None:
    base = index.url.removesuffix("/simple/")
    index.add("llama", "b8.zip", b"x")
    urls = [f"{base}/files/llama/b7.tar.gz", f"{base}/files/llama/b7.zip"]

    with pytest.raises(StepError, match=r"there is no .*b7\.tar\.gz or .*b7\.zip"):
        unpack.run(a_task(tmp_path, {}, {"urls": urls}))
    with pytest.raises(EnvironmentProblem, match="is not stored here"):
        unpack.run(a_task(tmp_path, {}, {"urls": urls}, offline=True))


def test_another_archive_than_stated_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(tarred())
    task = a_task(tmp_path / "t", {"sha256": "0" * 64}, {"path": str(path)})

    with pytest.raises(StepError, match=r"mine\.tar\.gz has SHA-256 [0-9a-f]{64}, not 000"):
        unpack.run(task)
    assert not list(task.workdir.iterdir())


def test_an_archive_that_is_here_is_taken_from_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(tarred())
    sha256 = hashlib.sha256(tarred_once := path.read_bytes()).hexdigest()

    facts = unpack.run(a_task(tmp_path / "t", {"sha256": sha256}, {"path": str(path)}))

    assert facts == {"sha256": sha256, "url": ""}
    assert path.read_bytes() == tarred_once
