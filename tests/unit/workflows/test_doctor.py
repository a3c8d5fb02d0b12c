"""Looking at a machine: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base import machine_info
from orchestrator.base.machine_info import Machine
from orchestrator.sources import http_client
from orchestrator.toolchain import find_toolchain, load
from orchestrator.workflows import doctor
from orchestrator.workflows.doctor import Finding


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """A port of this machine that refuses them."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def near(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose every host is this one."""
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(find_toolchain, "every", lambda _folder: [])


def finding(name: str, found: list[Finding]) -> Finding:
    return next(one for one in found if one.name == name)


@pytest.mark.usefixtures("near")
def test_a_sound_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("c++", "git", "make"):
        (tools / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(machine_info, "disk_free", lambda _: 10**12)
    monkeypatch.setattr(machine_info, "memory_total", lambda: 10**11)
    features = ("avx", "avx2", "fma", "f16c", "bmi2")
    monkeypatch.setattr(machine_info, "describe", lambda: Machine("x", "y", 2, 1, features))

    found = doctor.examine(tmp_path / "store")

    assert doctor.sound(found)
    assert "NO" not in doctor.text(found)
    assert finding("C++ compiler", found).found == str(tools / "c++")
    assert finding("package index", found).found == "127.0.0.1 answers"


@pytest.mark.usefixtures("near")
def test_everything_missing_says_what_to_do(
    tmp_path: Path, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed}/simple")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed}")
    monkeypatch.setattr(machine_info, "disk_free", lambda _: 10**9)
    monkeypatch.setattr(machine_info, "memory_total", lambda: 10**9)
    monkeypatch.setattr(machine_info, "describe", lambda: Machine("x", "y", 1, 1, ("avx",)))

    found = doctor.examine(tmp_path / "store")

    assert not doctor.sound(found)
    missing = {one.name for one in found if not one.fine and one.required}
    assert missing == {"C++ compiler", "git", "disk", "memory", "processor", "package index"}
    assert all(one.advice for one in found if not one.fine)
    shown = doctor.text(found)
    for advice in ("apt install g++", "apt install git", "ORCHESTRATE_HOME", "--profile native"):
        assert advice in shown
    assert "-   make: none" in shown
    assert "1.00 GB free" in finding("disk", found).found


@pytest.mark.parametrize(
    ("features", "fine"),
    [
        ((), True),
        (("asimd",), True),
        (("avx", "avx2", "fma", "f16c", "bmi2"), True),
        (("avx2", "fma", "f16c"), False),
    ],
)
@pytest.mark.usefixtures("near")
def test_the_default_build_needs_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: tuple[str, ...], fine: bool
) -> None:
    monkeypatch.setattr(machine_info, "describe", lambda: Machine("x", "cpu", 1, 1, features))

    assert finding("processor", doctor.examine(tmp_path)).fine == fine


@pytest.mark.usefixtures("near")
def test_a_host_behind_a_proxy_is_the_proxys_to_reach(
    tmp_path: Path, port: int, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.invalid/simple")
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")
    assert finding("package index", doctor.examine(tmp_path)).fine

    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed}")
    assert not finding("package index", doctor.examine(tmp_path)).fine


def test_every_host_of_the_tool_chains_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def unreachable(url: str) -> str:
        asked.append(url)
        return ""

    monkeypatch.setattr(http_client, "unreachable", unreachable)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.invalid/simple")

    doctor.examine(Path("store"))

    chain = load.load("llama.cpp")
    assert chain.environment is not None
    assert chain.environment.extra_index is not None
    assert chain.environment.extra_index.url in asked
    assert "https://index.invalid/simple" in asked
    assert any("github.com" in url for url in asked)


def test_this_machine_is_described() -> None:
    found = machine_info.describe()

    assert found.cores >= 1
    assert found.memory > 1 << 27
    assert 0 < machine_info.memory_available() <= machine_info.memory_total()
    assert found.system
    assert machine_info.architecture()


def test_the_disk_of_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert machine_info.disk_free(tmp_path / "a" / "b") > 0
    assert machine_info.existing(Path("no/such/folder")) == Path.cwd()


@pytest.mark.parametrize("dumb", [True, False])
def test_no_bars_where_nobody_watches(dumb: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb" if dumb else "xterm")

    assert machine_info.terminal() is not dumb


def a_program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="the programs of this test are shell scripts")
def test_a_gpu_is_named_with_what_its_back_end_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    a_program(tools, "nvidia-smi", "echo 'NVIDIA H200, 143771 MiB, 570.86.15'")
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")

    lacking = doctor.devices()
    a_program(tools, "nvcc", "true")
    whole = doctor.devices()
    a_program(tools, "nvidia-smi", "echo 'no driver'; exit 9")
    broken = doctor.devices()

    assert lacking.found == "NVIDIA H200, 143771 MiB, 570.86.15 (cuda)"
    assert not lacking.fine
    assert not lacking.required
    assert lacking.advice.startswith("'--backend cuda' lacks nvcc. Install NVIDIA's driver")
    assert whole.fine
    assert broken.found == "none found; measuring takes the processor"
