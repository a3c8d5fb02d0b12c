"""A real model, SmolLM2-135M-Instruct, out of a wheel of the package index."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from orchestrator.base.digest import file_sha256
from orchestrator.modelfiles import gguf
from tests.support.typed_commands import RECIPES, artifacts, ended, typed
from tests.support.warm_store import link

RECIPE = RECIPES / "smollm2-135m-requant.yaml"
NAME = "smollm2-135m-requant"
STATED: dict[str, str] = yaml.safe_load(RECIPE.read_text("utf-8"))["verify"]["sha256"]
# Copying the tensors gives what taking them apart and putting them together again gives.
MADE_TODAY = STATED["COPY"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has the tool chain; the tests of this module share it."""
    root = tmp_path_factory.mktemp("requant") / "store"
    link(root, "llama.cpp")
    return root


def recipe(folder: Path, quant: dict[str, object]) -> Path:
    """The repository's recipe with one type and a short text."""
    path = folder / "recipe.yaml"
    fields: dict[str, object] = {"extends": str(RECIPE), "name": NAME, "quantize": [quant]}
    sums = {name: STATED[name] for name in ("F16", "Q4_K_M")}
    fields |= {
        "verify": {"perplexity": {"chunks": 2, "context": 128}, "speed": None, "sha256": sums}
    }
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


def test_fallbacks_that_nobody_accepted_are_refused_before_anything_is_fetched(
    home: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, {"type": "Q4_K_M", "allow_fallback": False})
    said = typed("run", path, "--out", tmp_path / "dist", home=home)
    assert said.code == 1
    assert f"{NAME} Q4_K_M: 180 tensors would silently get another type" in said.all
    assert "blk.0.attn_k.weight (576 columns: q4_K -> q5_0)" in said.all
    assert "'allow_fallback: true'" in said.all
    assert set(artifacts(home)) == {"peek", "forecast"}
    assert not (tmp_path / "dist").exists()


def test_the_file_of_the_wheel_becomes_a_verified_k_quant(home: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, {"type": "Q4_K_M", "allow_fallback": True})
    log = tmp_path / "log"
    said = typed("run", path, "--out", tmp_path / "dist", "--log-json", log, home=home)
    assert said.code == 0, said.all
    assert not [label for label in ended(log, "done") if label.startswith("convert")]
    made = tmp_path / "dist" / NAME / f"{NAME}-Q4_K_M.gguf"
    assert file_sha256(made) == STATED["Q4_K_M"]
    report = json.loads((tmp_path / "dist" / NAME / "report.json").read_text("utf-8"))
    rows = {row["type"]: row for row in report["files"]}
    assert {name: row["sha256"] for name, row in rows.items()} == {
        name: STATED[name] for name in ("F16", "Q4_K_M")
    }
    checks = {check["name"]: check for check in rows["Q4_K_M"]["checks"]}
    assert "Paris" in checks["smoke"]["numbers"]["text"]
    assert "Paris" in checks["smoke_python"]["numbers"]["text"]
    assert checks["census"]["status"] == "warn"
    assert re.match(r"180 of 272 tensors fell back to other types", checks["census"]["message"])
    census = Counter(tensor.type for tensor in gguf.read(made).tensors)
    assert census == {"F32": 61, "Q5_0": 166, "Q4_K": 16, "Q8_0": 15, "Q6_K": 14}
    assert checks["census"]["numbers"]["census"] == dict(census)
    assert 5 < rows["F16"]["perplexity"] < rows["Q4_K_M"]["perplexity"] < 60


def test_the_wheels_own_file_comes_back_but_for_the_order_of_its_header(
    home: Path, tmp_path: Path
) -> None:
    """By today's llama.cpp; the recipe's own, of 2024, gives that too (published.md)."""
    published = RECIPES / "published" / "smollm2-135m-q4_1.yaml"
    path = tmp_path / "today.yaml"
    today = {
        "extends": str(published),
        "name": "today",
        "toolchain": {"name": "llama.cpp", "commit": None},
        "verify": {"sha256": {"Q4_1": MADE_TODAY}},
    }
    path.write_text(yaml.safe_dump(today))
    said = typed("run", path, "--out", tmp_path / "dist", "--no-verify", home=home)
    assert said.code == 0, said.all
    made = tmp_path / "dist" / "today" / "today-Q4_1.gguf"
    assert file_sha256(made) == MADE_TODAY
    [theirs] = (home / "artifacts").rglob("SmolLM2-135M-Instruct.Q4_1.gguf")
    fields = yaml.safe_load(published.read_text("utf-8"))
    assert file_sha256(theirs) == fields["published"][0]["sha256"]
    assert fields["verify"]["sha256"]["Q4_1"] == fields["published"][0]["sha256"]
    said = typed("diff", made, theirs, "--json", "--accept", "same-tensors", home=home)
    assert said.code == 0, said.all
    found = json.loads(said.out)
    assert (found["verdict"], found["keys"]) == ("same tensors", [])
    assert found["counts"] == {"identical": 272}
