"""A repository of a local Hub becomes a recipe, and the recipe files, with real llama.cpp."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.toolchain import load
from tests.hub import Hub
from tests.miniatures import hubs, repositories
from tests.support.model_families import served
from tests.support.typed_commands import RECIPES, ROOT, typed, variant
from tests.support.warm_store import link, ready

NAME = "someone/Mini-Llama"
CORPUS = RECIPES / "tiny" / "corpus"
TYPES = ("Q4_K_M", "Q8_0", "IQ2_XS")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    link(tmp_path / "store", "llama.cpp")
    yield from served(tmp_path, {NAME: repositories.llama})


def test_a_new_recipe_runs_as_it_was_written(hub: Hub, tmp_path: Path) -> None:
    def text(name: str) -> Path:
        source = CORPUS / ("perplexity.txt" if name == "corpus" else f"{name}.txt")
        path = tmp_path / f"{name}.txt"
        path.write_bytes(source.read_bytes()[: repositories.TEXT_BYTES])
        return path

    recipe = tmp_path / "mini.yaml"
    texts = [word for name in ("corpus", "calibration") for word in (f"--{name}", text(name))]

    said = typed("new", NAME, "-o", recipe, *texts, "--quantize", ",".join(TYPES))

    assert said.code == 0, said.all
    assert hubs.revision(NAME) in recipe.read_text("utf-8")
    # The miniature tells stories and knows no capital; all else but speed is as it was written.
    smoke = {"prompt": "Once upon a time there was a", "expect": "named [A-Z]"}
    told = variant(tmp_path, {"verify": {"smoke": smoke, "speed": False}}, base=recipe)
    done = typed("run", told, "--out", tmp_path / "dist", "-t", "1", home=tmp_path / "store")
    assert done.code == 0, done.all
    report = json.loads((tmp_path / "dist" / "tiny-llama" / "report.json").read_text("utf-8"))
    files = {one["type"]: one for one in report["files"] if one["type"] in TYPES}
    assert set(files) == set(TYPES)
    [full] = [one for one in report["files"] if one["type"] not in TYPES]
    checks = {one["name"]: one["status"] for one in full["checks"]}
    assert (checks["reference_logits"], checks["reference_tokens"]) == ("pass", "pass")
    for kind, row in files.items():
        checks = {one["name"]: one["status"] for one in row["checks"]}
        assert {checks[name] for name in ("smoke", "perplexity", "kld")} == {"pass"}, kind
        assert (tmp_path / "dist" / "tiny-llama" / f"tiny-llama-{kind}.gguf").is_file()


def test_the_list_of_architectures_is_that_of_the_pinned_converter(tmp_path: Path) -> None:
    source = ready("llama.cpp")["build"] / "src"
    target = tmp_path / "architectures.yaml"

    command = [sys.executable, str(ROOT / "scripts" / "list_architectures.py")]
    subprocess.run([*command, str(source), str(target)], check=True, timeout=60)

    kept = load.load("llama.cpp").folder / "architectures.yaml"
    assert target.read_text("utf-8") == kept.read_text("utf-8")
