"""Pointers of git-lfs in place of weights and tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.modelfiles import lfs_pointer

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n"


def test_pointers_are_named_with_what_to_do(tmp_path: Path) -> None:
    for name in ("model.safetensors", "tokenizer.model"):
        (tmp_path / name).write_text(POINTER)
    (tmp_path / "config.json").write_text("{}")
    files = [(path.name, path) for path in sorted(tmp_path.iterdir())]

    with pytest.raises(
        StepError, match=r"^model\.safetensors, tokenizer\.model: only what git-lfs"
    ) as caught:
        lfs_pointer.refuse(files)
    assert "git lfs pull" in caught.value.hint


def test_other_files_pass(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(POINTER + "x" * 2000)
    (tmp_path / "empty").touch()

    lfs_pointer.refuse((path.name, path) for path in tmp_path.iterdir())
