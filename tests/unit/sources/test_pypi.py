"""Files of a package index: the pinned one or a sentence, from whatever index pip uses."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.errors import (
    EnvironmentProblem,
    Interrupted,
    NetworkProblem,
    StepError,
    UsageError,
)
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Progress
from orchestrator.sources import pypi
from tests.support.package_index import Index, running

WHEEL = "small_model-0.1.2-py3-none-any.whl"
SDIST = "small_model-0.1.2.tar.gz"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running() as one:
        monkeypatch.setenv("PIP_INDEX_URL", one.url)
        yield one


def get(folder: Path, sha256: str = "", *, version: str = "0.1.2", kind: str = "wheel") -> Path:
    told: list[Progress] = []
    found = pypi.download(
        "small-model", version, kind, sha256=sha256, dest=folder, report=told.append
    )
    assert told[-1].done == told[-1].total == found.stat().st_size
    return found


@pytest.mark.parametrize("form", ["html", "json"])
@pytest.mark.parametrize("hashes", [True, False])
def test_the_pinned_file_is_found(tmp_path: Path, index: Index, form: str, hashes: bool) -> None:
    index.form, index.hashes = form, hashes
    sha256 = index.add("small-model", WHEEL, b"a wheel")
    sdist = index.add("small-model", SDIST, b"an sdist")
    index.add("small-model", "small_model-0.1.3-py3-none-any.whl", b"newer")

    assert get(tmp_path, sha256).read_bytes() == b"a wheel"
    assert get(tmp_path, sdist, kind="sdist").read_bytes() == b"an sdist"
    assert get(tmp_path).name == WHEEL


@pytest.mark.parametrize("hashes", [True, False])
def test_a_file_with_another_digest_is_refused(tmp_path: Path, index: Index, hashes: bool) -> None:
    index.hashes = hashes
    real = index.add("small-model", WHEEL, b"a wheel")

    with pytest.raises(StepError, match=f"has SHA-256 {real}, the pin says {'0' * 64}"):
        get(tmp_path, "0" * 64)

    assert list(tmp_path.iterdir()) == []


def test_a_wheel_among_several_is_chosen_by_its_digest(tmp_path: Path, index: Index) -> None:
    index.add("small-model", "small_model-0.1.2-py2-none-any.whl", b"for two")
    sha256 = index.add("small-model", WHEEL, b"for three")

    assert get(tmp_path, sha256).read_bytes() == b"for three"


def test_what_the_index_lacks_is_named(tmp_path: Path, index: Index) -> None:
    with pytest.raises(StepError, match="has no project 'small-model'"):
        get(tmp_path)
    index.add("small-model", WHEEL, b"a wheel")
    with pytest.raises(StepError, match=r"has no wheel of small-model 9\.9"):
        get(tmp_path, version="9.9")
    with pytest.raises(StepError, match=r"has no sdist of small-model 0\.1\.2"):
        get(tmp_path, kind="sdist")


def test_damage_on_the_way_is_found(tmp_path: Path, index: Index) -> None:
    sha256 = index.add("small-model", WHEEL, b"a wheel")
    index.damaged.add(WHEEL)

    with pytest.raises(StepError, match="arrived damaged"):
        get(tmp_path, sha256)
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_breaks_is_the_network(tmp_path: Path, index: Index) -> None:
    sha256 = index.add("small-model", WHEEL, b"a wheel" * 1000)
    index.cut.add(WHEEL)

    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        get(tmp_path, sha256)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_an_index_that_refuses_is_the_environment(
    tmp_path: Path, index: Index, status: int
) -> None:
    index.add("small-model", WHEEL, b"a wheel")
    index.status["/simple/small-model/"] = status

    with pytest.raises(EnvironmentProblem, match=f"HTTP {status}") as caught:
        get(tmp_path)
    assert caught.value.exit_code == 3
    assert "PIP_INDEX_URL" in caught.value.hint


def test_an_index_out_of_reach_is_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple/")

        with pytest.raises(EnvironmentProblem, match=r"small-model 0\.1\.2") as caught:
            get(tmp_path)
    assert caught.value.exit_code == 3


def test_what_is_no_index_is_said(tmp_path: Path, index: Index) -> None:
    index.form = "page"
    index.add("small-model", WHEEL, b"a wheel")

    with pytest.raises(EnvironmentProblem, match="not that of a package index"):
        get(tmp_path)


@pytest.mark.parametrize("status", [200, 302])
def test_an_endless_page_is_refused(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """The page behind a redirect too, whose own body is not read at all."""
    monkeypatch.setattr(pypi, "PAGE_BYTES", 1_000_000)
    index.form = "endless"
    index.status["/simple/small-model/"] = status

    with pytest.raises(EnvironmentProblem, match=r"127\.0\.0\.1 sends more than 1\.00 MB"):
        get(tmp_path)
    assert index.asked[-1] == ("/simple/other/" if status == 302 else "/simple/small-model/")


def test_a_page_that_takes_too_long_is_the_network(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pypi, "PAGE_SECONDS", -1.0)
    index.add("small-model", WHEEL, b"a wheel")

    with pytest.raises(NetworkProblem, match="cannot be reached for small-model"):
        get(tmp_path)


def test_a_file_longer_than_the_index_says_is_refused(index: Index) -> None:
    meter = pypi._Meter(10, lambda _progress: None)
    meter.update(10)
    with pytest.raises(StepError, match="sends more than the file has"):
        meter.update(1)


def test_an_interruption_ends_a_download(tmp_path: Path, index: Index) -> None:
    sha256 = index.add("small-model", WHEEL, b"a wheel")
    run_process.stop_all()
    try:
        with pytest.raises(Interrupted):
            get(tmp_path, sha256)
    finally:
        run_process.resume()
    assert list(tmp_path.iterdir()) == []


def test_the_address_of_a_file(index: Index) -> None:
    sha256 = index.add("small-model", WHEEL, b"a wheel")

    url = pypi.address("small-model", "0.1.2", "wheel", sha256)

    assert (
        url.partition("#")[0] == f"{index.url.removesuffix('/simple/')}/files/small-model/{WHEEL}"
    )
    assert len(index.asked) == 1


def test_digests_of_a_release(index: Index) -> None:
    first = index.add("small-model", WHEEL, b"a wheel")
    second = index.add("small-model", SDIST, b"an sdist")
    index.add("small-model", "small_model-0.1.3.tar.gz", b"newer")

    found = pypi.released({"small-model": "0.1.2", "unknown": "1"})

    assert {file.sha256 for file in found["small-model"]} == {first, second}
    assert found["unknown"] == ()


# -- which index -------------------------------------------------------------------------


def configure(path: Path, url: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[global]\nindex-url = {url}\n")


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_CONFIG_FILE", raising=False)
    monkeypatch.setattr("sys.prefix", "/nonexistent")


@pytest.mark.usefixtures("unset")
def test_the_users_configuration_is_pips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(Path.home() / ".pip" / "pip.conf", "https://old/simple")
    assert pypi.index_url() == "https://old/simple"

    configure(Path.home() / ".config" / "pip" / "pip.conf", "https://user/simple")
    assert pypi.index_url() == "https://user/simple"

    monkeypatch.setattr("sys.prefix", str(tmp_path / "venv"))
    configure(tmp_path / "venv" / "pip.conf", "https://venv/simple")
    assert pypi.index_url() == "https://venv/simple"

    configure(tmp_path / "mine.conf", "https://mine/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "mine.conf"))
    assert pypi.index_url() == "https://mine/simple"

    monkeypatch.setenv("PIP_INDEX_URL", "https://variable/simple")
    assert pypi.index_url() == "https://variable/simple"


@pytest.mark.usefixtures("unset")
def test_pips_way_to_read_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(Path.home() / ".config" / "pip" / "pip.conf", "https://user/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    assert pypi.index_url() == ""
    assert pypi.effective_index().startswith("https://")


@pytest.mark.usefixtures("unset")
def test_a_download_uses_the_users_configuration(tmp_path: Path) -> None:
    with running() as own:
        configure(Path.home() / ".config" / "pip" / "pip.conf", own.url)
        sha256 = own.add("small-model", WHEEL, b"a wheel")

        assert get(tmp_path, sha256).read_bytes() == b"a wheel"


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize("content", [b"index-url = x", b"\xff\xfe[global]"])
def test_a_configuration_that_is_none_is_said(content: bytes) -> None:
    path = Path.home() / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    with pytest.raises(UsageError, match="pip's configuration cannot be read") as caught:
        pypi.index_url()
    assert "\n" not in caught.value.message
