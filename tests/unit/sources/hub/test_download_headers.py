"""The start of weight files without the weights."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.sources.hub import download
from tests.hub import Fault, Hub, Repo
from tests.support.hub_repositories import COMMIT, NAME, WEIGHTS, tensor_file


@pytest.fixture
def huge(server: Hub, repo: Repo) -> Path:
    """A file of 1 GiB of hole; its digest is never asked for, so any will do."""
    path = repo.folder / "huge.safetensors"
    tensor_file(path, 1 << 30)
    server.repos["models"][NAME] = replace(repo, digests={path.name: "0" * 64})
    return path


def test_the_header_of_a_huge_file_costs_kilobytes(server: Hub, huge: Path) -> None:
    start, size = download.safetensors_headers(NAME, COMMIT, ["huge.safetensors"])[
        "huge.safetensors"
    ]
    assert size == huge.stat().st_size
    assert start == huge.open("rb").read(len(start))
    assert json.loads(start[8:])["t"]["shape"] == [1 << 30]
    assert server.served("huge.safetensors") < 64 << 10
    assert len(server.asked("huge.safetensors")) == 1


def test_a_long_header_costs_two_requests(server: Hub, repo: Repo) -> None:
    header = json.dumps({"__metadata__": {"filler": "x" * 200_000}}).encode()
    content = struct.pack("<Q", len(header)) + header
    (repo.folder / "long.safetensors").write_bytes(content + b"data")
    got = download.safetensors_headers(NAME, COMMIT, ["long.safetensors"])
    assert got == {"long.safetensors": (content, len(content) + 4)}
    assert len(server.asked("long.safetensors")) == 2
    assert server.served("long.safetensors") == len(content)


def test_the_header_of_a_cached_file_costs_nothing(server: Hub, repo: Repo) -> None:
    tensor_file(repo.folder / "small.safetensors", 100)
    download.fetch(NAME, COMMIT, ["small.safetensors"])
    before = len(server.requests)
    got = download.safetensors_headers(NAME, COMMIT, ["small.safetensors"], offline=True)
    assert json.loads(got["small.safetensors"][0][8:])["t"]["shape"] == [100]
    assert len(server.requests) == before


@pytest.mark.parametrize(
    "content", [b"", b"short", b"\xff" * 64, struct.pack("<Q", 500) + b"{", b"<html></html>"]
)
def test_what_is_no_safetensors_file_is_one_sentence(
    server: Hub, repo: Repo, content: bytes
) -> None:
    (repo.folder / "bad.safetensors").write_bytes(content)
    with pytest.raises(StepError, match=r"bad\.safetensors: at byte"):
        download.safetensors_headers(NAME, COMMIT, ["bad.safetensors"])


def test_a_server_that_ignores_ranges_is_not_read_to_the_end(server: Hub, huge: Path) -> None:
    server.fault("huge.safetensors", Fault("ignore-range"))
    got = download.safetensors_headers(NAME, COMMIT, ["huge.safetensors"])
    assert got["huge.safetensors"][1] == huge.stat().st_size
    assert server.served("huge.safetensors") < 1 << 28


def test_a_missing_header_offline_is_named(hub_cache: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=WEIGHTS):
        download.safetensors_headers(NAME, COMMIT, [WEIGHTS], offline=True)
