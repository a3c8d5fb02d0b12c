"""Several models of one shape, merged by mergekit as the recipe's own configuration says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.base.digest import file_sha256
from tests.support.model_relatives import write_relatives
from tests.support.typed_commands import typed

RECIPE = """\
name: mixed-METHOD
family: llama
toolchain: llama.cpp
model:
  base: {path: base}
  mergekit:
    models: {other: {path: other}}
    config:
      merge_method: METHOD
      base_model: base
      models:
        - {model: base, parameters: {weight: 0.7, density: 0.5}}
        - {model: other, parameters: {weight: 0.3, density: 0.5}}
      parameters: {t: 0.3}
      dtype: float16
convert: {model_name: mixed}
quantize: [Q8_0]
verify: {speed: false}
"""
MADE = {
    "linear": "a8d5ffa36116fd2d9390d4c990e99594755afcbdb8867909da96b7c87490bda2",
    "slerp": "bf41a93470f7590dcac63416968a965bca68edfdb53a933f3dea2a29ca963819",
    "ties": "fcfa74e30466aca5cb1677d8c733c933ffa28f7248c66ae8c25334354bfef2d9",
}


@pytest.fixture(autouse=True)
def _built(store_with: Callable[..., Path]) -> None:
    store_with("llama.cpp")


def recipes(folder: Path, *methods: str) -> list[Path]:
    write_relatives(folder, "base", "other")
    paths = [folder / f"{method}.yaml" for method in methods]
    for path, method in zip(paths, methods, strict=True):
        text = RECIPE.replace("METHOD", method)
        path.write_text(text.replace("base_model: base", "") if method == "linear" else text)
    return paths


def test_each_way_of_merging_makes_the_same_bytes_and_says_what_it_refuses(tmp_path: Path) -> None:
    said = typed("run", *recipes(tmp_path / "here", *MADE), "--out", tmp_path / "dist")

    assert said.code == 0, said.all
    made = {}
    for method in MADE:
        out = tmp_path / "dist" / f"mixed-{method}"
        made[method] = file_sha256(out / f"mixed-{method}-Q8_0.gguf")
        told = json.loads((out / "report.json").read_text("utf-8"))
        assert told["source"]["message"] == "All 21 tensors of the source are in the file."
    assert made == MADE

    [*_, path] = (tmp_path / "here").glob("slerp.yaml")
    path.write_text(path.read_text().replace("parameters: {t: 0.3}", "parameters: {}"))
    said = typed("run", path, "--out", tmp_path / "dist")
    assert said.code == 1
    assert "mergekit refuses: " in said.err


def test_models_that_do_not_fit_are_refused_before_work(tmp_path: Path) -> None:
    [path] = recipes(tmp_path, "slerp")
    shutil.rmtree(tmp_path / "other")
    shutil.copytree(Path("recipes/tiny/models/chatglm").resolve(), tmp_path / "other")
    said = typed("plan", path)

    assert said.code == 1
    assert "cannot be merged with" in said.err
    assert "Only models of one architecture, size and vocabulary" in said.err
