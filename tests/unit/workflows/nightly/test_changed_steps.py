"""Which step, and which file, made a file another one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.engine.artifact_store import Store
from orchestrator.workflows.nightly import changed_steps


def store(tmp_path: Path, **manifests: dict[str, Any]) -> Store:
    """A store that knows these manifests by key."""
    found = {key: SimpleNamespace(manifest=one) for key, one in manifests.items()}
    return cast(
        "Store", SimpleNamespace(root=tmp_path, find=lambda key, quick=False: found.get(key))
    )


def manifest(kind: str, label: str, files: dict[str, str], **inputs: str) -> dict[str, Any]:
    """What a manifest says of a step and its files; each text stands for a digest."""
    listed = {name: {"size": 1, "sha256": text} for name, text in files.items()}
    return {"kind": kind, "label": label, "params": files, "inputs": inputs, "files": listed}


@pytest.mark.parametrize(
    ("kind", "before", "after", "said"),
    [
        ("fetch", {"a": "1", "b": "1"}, {"a": "2", "b": "1"}, "fetch org/name: a"),
        ("fetch", {"a": "1"}, {"a": "1", "b": "1"}, "fetch org/name: b"),
        (
            "fetch",
            dict.fromkeys("abcd", "1"),
            dict.fromkeys("abcd", "2"),
            "fetch org/name: a, b, c, ...",
        ),
        # What is computed is another file of the same name: its step says enough.
        ("merge", {"a": "1"}, {"a": "2"}, "fetch org/name"),
    ],
)
def test_a_model_that_changed_is_said_with_the_files_that_are_others(
    tmp_path: Path, kind: str, before: dict[str, str], after: dict[str, str], said: str
) -> None:
    known = store(
        tmp_path,
        old=manifest(kind, "fetch org/name", before),
        new=manifest(kind, "fetch org/name", after),
        old_file=manifest("quantize", "quantize", {}, model="old"),
        new_file=manifest("quantize", "quantize", {}, model="new"),
    )
    assert changed_steps.changed("old_file", "new_file", known) == [said]


def test_a_file_that_the_label_names_already_is_not_said_twice(tmp_path: Path) -> None:
    label = "fetch perplexity text held.txt"
    known = store(
        tmp_path,
        old=manifest("fetch", label, {"held.txt": "1"}),
        new=manifest("fetch", label, {"held.txt": "2"}),
    )
    assert changed_steps.changed("old", "new", known) == [label]
