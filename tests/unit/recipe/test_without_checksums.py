"""RecipeFolder-in models: what a recipe states of the real bytes is not held against others."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orchestrator.base.errors import UsageError
from orchestrator.recipe import Recipe, without_checksums
from orchestrator.runs import load_and_plan
from orchestrator.runs.resolve_sources import Resolver

SHA256 = "0" * 64


def write(folder: Path, **fields: object) -> Recipe:
    recipe = {"name": "x", "family": "llama", "toolchain": "llama.cpp", "quantize": [], **fields}
    path = folder / "x.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    [found] = load_and_plan.load([path])
    return found


def test_checksums_of_local_inputs_are_dropped_and_only_they(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"other bytes")
    model = {"path": "m.gguf", "format": "gguf", "files": {"m.gguf": SHA256}}
    recipe = write(tmp_path, model=model)
    resolver = Resolver(lambda _path: "1" * 64)
    with pytest.raises(UsageError, match="not the file the recipe means"):
        resolver.resolve(recipe.model)
    found = resolver.resolve(without_checksums.relaxed(recipe).model)
    assert found.identity["files"] == {"m.gguf": "1" * 64}
    assert recipe.model.files  # the recipe itself is as it was


def test_both_sides_of_a_merge_and_the_texts_are_freed(tmp_path: Path) -> None:
    text = {"hub": "a/b", "revision": "main", "repo_type": "dataset", "file": "t", "sha256": SHA256}
    recipe = write(
        tmp_path,
        model={
            "base": {"hub": "a/base", "revision": "main", "files": {"config.json": SHA256}},
            "delta": {"hub": "a/delta", "revision": "main", "files": {"config.json": SHA256}},
        },
        imatrix={"corpus": text},
        verify={"perplexity": {"corpus": text}},
    )
    found = without_checksums.relaxed(recipe)
    assert found.model.base is not None
    assert found.model.delta is not None
    assert not found.model.base.files
    assert not found.model.delta.files
    assert found.imatrix is not None
    assert found.imatrix.corpus is not None
    assert found.imatrix.corpus.sha256 is None
    assert found.verify.perplexity is not None
    assert found.verify.perplexity.corpus.sha256 is None
    assert found.verify.perplexity.corpus.file == "t"


def test_checksums_of_downloads_stay(tmp_path: Path) -> None:
    address = {"url": "https://example.org/m.gguf", "sha256": SHA256, "format": "gguf"}
    assert without_checksums.relaxed(write(tmp_path, model=address)).model.sha256 == SHA256
    package = {"package": "p", "version": "1", "file": "m.gguf"}
    model = {"pypi": package, "sha256": SHA256, "format": "gguf"}
    assert without_checksums.relaxed(write(tmp_path, model=model)).model.sha256 == SHA256
