"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.atomic_file import part_of, put


def test_a_file_is_written_once_for_the_same_content(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"

    assert put(target, b"one")
    assert not put(target, b"one")
    assert put(target, b"two")
    assert target.read_bytes() == b"two"


def test_what_fails_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def half() -> None:
        with part_of(target) as part:
            part.write_bytes(b"ha")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()

    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
