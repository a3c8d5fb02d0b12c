"""A repository of a local Hub becomes one recipe, and the recipe is tried."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.hub import Hub, Repo
from tests.support.typed_commands import MODELS, TINY, typed, variant
from tests.support.warm_store import ready

CORPUS = TINY.parent / "corpus" / "calibration.txt"
COMMIT, BASE, NEWER = ("a" * 40, "b" * 40, "c" * 40)
TYPES = ("Q8_0", "Q4_K_M", "IQ4_XS")


@pytest.fixture
def hub_of_files(
    store_with: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """What a publisher made of the tiny llama, one file in parts; served with its model."""
    store_with("llama.cpp")
    wanted = [{"type": kind, "imatrix": kind == "IQ4_XS"} for kind in TYPES]
    matrix = {"corpus": str(CORPUS), "chunks": 4, "context": 512}
    made = variant(tmp_path, {"verify": None, "imatrix": matrix, "quantize": wanted})
    done = typed("run", made, "--out", tmp_path / "dist", "--no-verify")
    assert done.code == 0, done.all
    folder = tmp_path / "dist" / "tiny-llama"
    split = ready("llama.cpp")["build"] / "bin" / "llama-gguf-split"
    whole = folder / "tiny-llama-Q8_0.gguf"
    argv = [str(split), "--split", "--split-max-tensors", "12", str(whole), str(whole)[:-5]]
    subprocess.run(argv, check=True, capture_output=True)
    whole.unlink()
    return folder


def test_all_files_of_a_repository_are_one_recipe_that_is_tried(
    hub_of_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [path.name for path in hub_of_files.glob("*.gguf")]
    files = Repo(
        hub_of_files,
        COMMIT,
        card={"base_model": "org/tiny-llama"},
        dates=dict.fromkeys(names, "2026-11-02T00:00:00.000Z"),
    )
    history = ((NEWER, "2026-11-20T00:00:00.000Z"), (BASE, "2026-11-01T00:00:00.000Z"))
    model = Repo(MODELS / "llama", BASE, history=history)
    recipe = tmp_path / "adopted.yaml"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with Hub({"org/tiny-llama-GGUF": files, "org/tiny-llama": model}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)

        said = typed("adopt", "org/tiny-llama-GGUF", "-o", recipe, "--corpus", CORPUS, "--try")

    found = yaml.safe_load(recipe.read_text("utf-8"))
    assert found["model"] == {"hub": "org/tiny-llama", "revision": BASE}
    assert {one["type"] for one in found["quantize"]} == set(TYPES)
    assert found["toolchain"] == "llama.cpp"
    verdicts = dict(line.split("  ", 1) for line in said.out.splitlines() if ".gguf" in line)
    assert verdicts["tiny-llama-Q4_K_M.gguf"].split() == ["identical"]
    assert verdicts["tiny-llama-IQ4_XS.gguf"].split() == ["identical"]
    in_parts = verdicts["tiny-llama-Q8_0-00001-of-00002.gguf"]
    assert in_parts.split()[:2] == ["same", "tensors"]
    assert said.code == 1, said.all
