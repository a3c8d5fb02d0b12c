"""Situations from public bug reports, with the right verdict or the right sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.typed_commands import MODELS, TINY, artifacts, typed, variant
from tests.support.warm_store import ready

TEXT = TINY.parent / "corpus" / "perplexity.txt"
PLAIN = {"verify": None, "imatrix": None, "quantize": ["Q8_0"]}


@pytest.fixture(autouse=True)
def _built(store_with: Callable[..., Path]) -> None:
    store_with("llama.cpp")


def model(folder: Path, **config: Any) -> Path:
    """The tiny llama's folder with another config.json."""
    shutil.copytree(MODELS / "llama", folder)
    found = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(found | config), encoding="utf-8")
    return folder


def test_windows_line_ends_make_no_sound_file_fail(tmp_path: Path) -> None:
    """Saved logits are clamped, which made a base of 2.05 out of 2.18 (ik_llama.cpp#325)."""
    (tmp_path / "crlf.txt").write_bytes(TEXT.read_bytes().replace(b"\n", b"\r\n"))
    verify = {
        "perplexity": {"corpus": str(tmp_path / "crlf.txt"), "context": 256, "chunks": 4},
        "kld": True,
        "limits": {"max_ppl_increase": "3%", "max_mean_kld": 0.01},
        "speed": False,
    }

    said = typed("run", variant(tmp_path, {**PLAIN, "verify": verify}), "--out", tmp_path / "dist")

    assert said.code == 0, said.all
    report = json.loads((tmp_path / "dist" / "tiny-llama" / "report.json").read_text("utf-8"))
    [row] = [one for one in report["files"] if one["type"] == "Q8_0"]
    assert abs(row["increase"]) < 0.001
    assert any(
        "\\r\\n" in one["message"] or "Windows" in one["message"] for one in report["warnings"]
    )


def test_weights_of_fewer_layers_than_the_configuration_says_are_refused(tmp_path: Path) -> None:
    source = {"path": str(model(tmp_path / "m", num_hidden_layers=3))}

    said = typed("run", variant(tmp_path, {**PLAIN, "model": source}), "--out", tmp_path / "dist")

    assert said.code == 1
    assert "the configuration says 3 layers, the weights have 2" in said.err
    assert "convert" not in artifacts(tmp_path / "store")
    assert not (tmp_path / "dist").exists()


def test_a_model_in_parts_gives_the_files_of_the_whole(tmp_path: Path) -> None:
    """Two of three files used to be left out, or the input refused (unsloth-zoo#976)."""
    dist = ("--out", tmp_path / "dist", "--no-verify")
    done = typed("run", variant(tmp_path, PLAIN), *dist)
    assert done.code == 0, done.all
    [converted] = artifacts(tmp_path / "store")["convert"]
    whole = converted / "files" / "model.gguf"
    parts = tmp_path / "parts"
    parts.mkdir()
    split = ready("llama.cpp")["build"] / "bin" / "llama-gguf-split"
    argv = [str(split), "--split", "--split-max-tensors", "8", str(whole), str(parts / "m")]
    subprocess.run(argv, check=True, capture_output=True)
    source = {"path": str(parts), "format": "gguf"}
    changed = variant(tmp_path, {**PLAIN, "name": "parts", "model": source})

    said = typed("plan", changed)
    again = typed("run", changed, *dist)

    made = [tmp_path / "dist" / name / f"{name}-Q8_0.gguf" for name in ("tiny-llama", "parts")]
    assert again.code == 0, again.all
    assert made[0].read_bytes() == made[1].read_bytes()
    assert f"{made[0].stat().st_size:,}" in said.out
    (parts / "m-00002-of-00003.gguf").unlink()
    refused = typed("plan", changed)
    assert (refused.code, "there is no m-00002-of-00003.gguf" in refused.err) == (1, True)
