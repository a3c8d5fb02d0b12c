"""The file of a lock: refused when it is damaged, and not missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.runs import use_lockfile


@pytest.mark.parametrize(
    "text",
    ["", "[]", "format: 2", "{", "format: 1\nrecipe: 3", "\x80", "a: &x [*x]"],
)
def test_a_damaged_lock_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.lock.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"x\.lock\.yaml cannot be used as a lock"):
        use_lockfile.read(path)


def test_no_lock_is_none(tmp_path: Path) -> None:
    assert use_lockfile.read(tmp_path / "x.lock.yaml") is None
