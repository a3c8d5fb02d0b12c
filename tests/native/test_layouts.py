"""Models in folders of repositories, in Mistral's own layout, and as transformers 5 saves them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from orchestrator.modelfiles import safetensors
from tests.hub import Hub, Repo
from tests.support.mistral_models import write_mistral_model
from tests.support.typed_commands import MODELS, Said, artifacts, typed
from tests.support.warm_store import link

COMMIT = "8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16"
PLAIN = {"family": "llama", "toolchain": "llama.cpp", "verify": {"speed": False}}


def recipe(folder: Path, **fields: Any) -> Path:
    path = folder / "made.yaml"
    named = {"name": "made", "quantize": ["Q8_0"], **PLAIN, **fields}
    path.write_text(json.dumps(named), encoding="utf-8")
    return path


def hub_model(**more: str) -> dict[str, str]:
    return {"hub": "org/many", "revision": COMMIT, **more}


def test_mistrals_layout_in_a_folder_is_converted_and_the_other_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, served = tmp_path / "store", tmp_path / "served"
    link(home, "llama.cpp", options=["mistral_format"])
    write_mistral_model(served / "own" / "small", parts=2)
    for folder in (served, served / "own" / "small"):
        shutil.copytree(MODELS / "llama", folder, dirs_exist_ok=True)
    made = recipe(tmp_path, model=hub_model(subfolder="own/small", format="mistral"))
    with Hub({"org/many": Repo(served, COMMIT)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        said = typed("run", made, "--out", tmp_path / "dist", "--no-verify", home=home)
        assert hub.served("model.safetensors") == 0

    assert said.code == 0, said.all
    report = json.loads((tmp_path / "dist" / "made" / "report.json").read_text("utf-8"))
    assert report["source"]["message"] == "All 21 tensors of the source are in the file."
    assert any(
        "model.safetensors is the model in another layout" in one["message"]
        for one in report["warnings"]
    )
    found = gguf.GGUFReader(converted(home))
    assert found.fields["tokenizer.ggml.pre"].contents() == "tekken"
    ours = {one.name: one.data for one in found.tensors}
    theirs = stored(served / "own" / "small")
    for name, other in (("attn_q", "attention.wq"), ("ffn_down", "feed_forward.w2")):
        np.testing.assert_array_equal(
            ours[f"blk.1.{name}.weight"], theirs[f"layers.1.{other}.weight"]
        )


def converted(home: Path) -> Path:
    [folder] = artifacts(home)["convert"]
    return folder / "files" / "model.gguf"


def stored(folder: Path) -> Mapping[str, Any]:
    """The consolidated tensors of a folder."""
    found = {}
    for path in folder.glob("consolidated*.safetensors"):
        header, whole = safetensors.read_header(path), path.read_bytes()
        for one in header.tensors:
            start, end = header.data_offset + one.start, header.data_offset + one.end
            found[one.name] = np.frombuffer(whole[start:end], np.float16).reshape(one.shape)
    return found


def planned(folder: Path, model: Path, **convert: Any) -> Said:
    path = recipe(folder, model={"path": str(model)}, convert=convert)
    return typed("plan", path, home=folder / "store")


def test_a_model_that_transformers_5_saved_is_read_with_it_where_the_recipe_says(
    tmp_path: Path,
) -> None:
    link(tmp_path / "store", "llama.cpp", options=["transformers_5"])
    saved = tmp_path / "saved"
    shutil.copytree(MODELS / "llama", saved)
    (saved / "tokenizer.model").unlink()
    shutil.copy(MODELS / "bloom" / "tokenizer.json", saved)
    listed = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<s>", "</s>"]}
    (saved / "tokenizer_config.json").write_text(json.dumps(listed))

    refused = planned(tmp_path, saved, tokenizer_pre="bloom")
    made = planned(tmp_path, saved, tokenizer_pre="bloom", transformers_5=True)

    assert "does not know the tokenizer class TokenizersBackend" in refused.err
    assert "say 'convert: {transformers_5: true}'" in refused.err
    assert made.code == 0, made.all
