from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub, Repo
from tests.support.hub_repositories import COMMIT, CONFIG, INDEX, NAME, SECOND, SIZE, WEIGHTS


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
