"""What kind of model file this is, from its first bytes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Literal

from orchestrator.modelfiles import ggml, gguf
from orchestrator.modelfiles.safetensors import MAX_HEADER
from orchestrator.modelfiles.untrusted_reader import open_reader

Kind = Literal["gguf", "ggml", "ggmf", "ggjt", "safetensors", "zip", "pickle", "unknown"]

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # PyTorch's checkpoints since 1.6 are zip files
_PICKLE_PROTOCOLS = range(2, 6)


def kind(path: Path | str) -> Kind:
    """The format of ``path`` by its magic; FormatError only when it cannot be read at all."""
    with open_reader(path) as reader:
        start = reader.take(min(9, reader.size), "the first bytes")
        return _kind(start, reader.size)


def _kind(start: bytes, size: int) -> Kind:
    if start[:4] == gguf.MAGIC:
        return "gguf"
    if start[:4] in ggml.MAGICS:
        return ggml.MAGICS[start[:4]]
    if start[:4] in _ZIP:
        return "zip"
    if len(start) == 9 and start[8:] == b"{":
        length = struct.unpack("<Q", start[:8])[0]
        if 2 <= length <= min(MAX_HEADER, size - 8):
            return "safetensors"
    if len(start) >= 2 and start[0] == 0x80 and start[1] in _PICKLE_PROTOCOLS:
        return "pickle"
    return "unknown"
