"""What the repository that these tests are served looks like."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub, Repo

NAME = "org/tiny"
COMMIT = "8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16"
WEIGHTS = "model-00001-of-00002.safetensors"
SECOND = "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
SIZE = 3_000_000


def tensor_file(path: Path, size: int) -> None:
    """A safetensors file of one tensor of ``size`` bytes of hole."""
    tensor = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"t": tensor}).encode()
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + size)


def same(folder: Path, repo: Repo, *paths: str) -> bool:
    """Whether fetched files are what is served."""
    return all((folder / p).read_bytes() == (repo.folder / p).read_bytes() for p in paths)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(os.urandom(SIZE))
    (folder / SECOND).write_bytes(os.urandom(1000))
    (folder / "pytorch_model.bin").write_bytes(b"another format")
    (folder / CONFIG).write_text('{"model_type": "llama"}')
    (folder / "modeling.py").write_text("raise SystemExit")
    (folder / "tokenizer.model").write_bytes(b"\x0atokens")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": WEIGHTS, "b": SECOND}}))
    return Repo(folder, COMMIT)


@pytest.fixture
def server(repo: Repo, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({NAME: repo}, {"org/data": repo}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running
