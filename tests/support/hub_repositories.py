"""What the repository that these tests are served looks like."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from tests.hub import Repo

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
