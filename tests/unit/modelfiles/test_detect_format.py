from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest

from orchestrator.modelfiles import detect_format
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.safetensors import build_header
from tests.support.model_files import GGMLSpec, GGUFSpec, ggml_bytes, gguf_bytes


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", "b")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (gguf_bytes(GGUFSpec()), "gguf"),
        (ggml_bytes(GGMLSpec("ggml")), "ggml"),
        (ggml_bytes(GGMLSpec("ggmf")), "ggmf"),
        (ggml_bytes(GGMLSpec("ggjt", 3)), "ggjt"),
        (build_header([])[0], "safetensors"),
        (b"\xff" * 8 + b"{}", "unknown"),
        (_zip(), "zip"),
        (pickle.dumps({"a": 1}, protocol=2), "pickle"),
        (pickle.dumps({"a": 1}, protocol=5), "pickle"),
        (b"", "unknown"),
        (b"\x80", "unknown"),
        (b"version https://git-lfs.github.com/spec/v1\n", "unknown"),
    ],
)
def test_kinds(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert detect_format.kind(path) == kind


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a regular file"):
        detect_format.kind(tmp_path)
