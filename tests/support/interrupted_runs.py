"""What must hold after a run was killed or interrupted."""

from __future__ import annotations

from pathlib import Path

from orchestrator.base.digest import file_sha256
from tests.support.typed_commands import (
    STATED,
    TYPES,
    processes,
    typed,
)

AFTER_CONVERTING = ("imatrix", "quantize", "measure")


def rubbish(home: Path) -> list[Path]:
    """What lies in staging."""
    return list((home / "staging").glob("*"))


def assert_whole(home: Path, out: Path) -> None:
    """Everything is there, with the right bytes, and nothing else is left."""
    files = {name: out / "tiny-llama" / f"tiny-llama-{name}.gguf" for name in TYPES}
    assert {name: file_sha256(path) for name, path in files.items()} == {
        name: STATED[name] for name in TYPES
    }
    assert rubbish(home) == []
    assert processes(home) == {}
    said = typed("store", "verify", home=home)
    assert said.code == 0, said.all
