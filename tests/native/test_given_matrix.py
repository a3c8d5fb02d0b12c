"""An importance matrix that somebody else made: the files are those that are made by hand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.importance_matrices import old_matrix
from tests.support.typed_commands import TINY, artifacts, typed, variant
from tests.support.warm_store import Finished, link, ready

CORPUS = TINY.parent / "corpus" / "calibration.txt"
FILES = {"verify": None, "quantize": [{"type": "IQ4_XS", "imatrix": True}]}


def by_hand(program: str, *words: str | Path, cwd: Path) -> None:
    """Run one of llama.cpp's own tools."""
    argv = [ready("llama.cpp")["build"] / "bin" / program, *words]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("form", "absolute"), [("dat", True), ("gguf", False)])
def test_a_file_with_a_given_matrix_is_the_one_that_is_made_by_hand(
    finished: Finished, tmp_path: Path, form: str, absolute: bool
) -> None:
    [full] = artifacts(finished.home)["convert"]
    model, matrix = full / "files" / "model.gguf", tmp_path / "X" / "X.imatrix"
    matrix.parent.mkdir()
    said = ("-f", CORPUS, "--chunks", "4", "-c", "128", "-t", "2", "--output-format", form)
    by_hand("llama-imatrix", "-m", model, "-o", matrix, *said, cwd=tmp_path)
    recorded = str(matrix) if absolute else "X/X.imatrix"
    words = ("--imatrix", recorded, model, "hand.gguf", "IQ4_XS")
    by_hand("llama-quantize", *words, cwd=tmp_path)
    fields = {**FILES, "imatrix": {"file": str(matrix), "recorded_as": recorded}}
    recipe = variant(tmp_path, fields)
    link(tmp_path / "store", "llama.cpp")

    run = ("run", recipe, "--no-verify", "--out", tmp_path / "out", "-t", "2")
    made = typed(*run, home=tmp_path / "store")

    assert made.code == 0, made.all
    [file] = (tmp_path / "out").rglob("*IQ4_XS.gguf")
    assert file.read_bytes() == (tmp_path / "hand.gguf").read_bytes()


def test_a_matrix_of_another_model_stops_the_plan(tmp_path: Path) -> None:
    (tmp_path / "other.dat").write_bytes(old_matrix({"blk.0.attn_q.weight": [1.0] * 64}))
    recipe = variant(tmp_path, {**FILES, "imatrix": {"file": str(tmp_path / "other.dat")}})
    link(tmp_path / "store", "llama.cpp")

    said = typed("plan", recipe, home=tmp_path / "store")

    assert said.code == 1
    assert "rows have other lengths in blk.0.attn_q.weight (64 numbers for 256)" in said.all
