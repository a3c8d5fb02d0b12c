"""orchestrate diff: what it prints and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gguf_pairs import (
    FIELDS,
    Model,
    flip,
    tensor,
    write_ggml,
    write_gguf,
    write_parts,
)
from tests.support.model_files import KV

MAIN = "from orchestrator.cli import main; main()"


def diff(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, "diff", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A file, and one of each verdict."""
    a = write_gguf(tmp_path / "a.gguf", Model())
    fields = {**FIELDS, "general.name": KV("str", "x")}
    return {
        "a": a,
        "identical": write_gguf(tmp_path / "same.gguf", Model()),
        "same-tensors": write_gguf(tmp_path / "header.gguf", Model(fields=fields)),
        "near": flip(a, tensor(a, "ffn").offset, tmp_path / "near.gguf"),
        "different": write_gguf(tmp_path / "less.gguf", Model(Model().tensors[1:])),
    }


def test_the_exit_code_is_the_verdict(files: dict[str, Path]) -> None:
    order = ["identical", "same-tensors", "near", "different"]
    for at, name in enumerate(order):
        for weakest in {"identical", name}:
            done = diff(files["a"], files[name], "--accept", weakest)

            assert done.returncode == (0 if order.index(weakest) >= at else 1), done.stderr
            assert f"Verdict: {name.replace('-', ' ')}" in done.stdout
            assert done.stderr == ""


def test_no_text_of_a_file_reaches_the_terminal_raw(tmp_path: Path) -> None:
    hostile = "x\x1b]0;title\x07\x9b2J\u202e"
    fields = {**FIELDS, "general.name": KV("str", hostile), f"key{hostile}": KV("str", hostile)}
    paths = [
        write_gguf(tmp_path / "a.gguf", Model()),
        write_gguf(tmp_path / "b.gguf", Model(fields=fields)),
    ]

    for options in ((), ("--json",)):
        done = diff(*paths, *options)
        assert done.stdout.replace("\n", "").isprintable()
        assert "title" in done.stdout


def test_json_is_all_that_is_printed(files: dict[str, Path]) -> None:
    done = diff(files["a"], files["near"], "--json", "--no-values")

    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["verdict"] == "near"
    assert not any("max_abs_diff" in one for one in found["tensors"])


def test_a_damaged_file_is_a_sentence_and_exit_code_2(
    files: dict[str, Path], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(files["a"].read_bytes()[:-64])

    done = diff(files["a"], cut)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "cut.gguf: at byte" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_exit_code_2(files: dict[str, Path], tmp_path: Path) -> None:
    assert diff(files["a"], tmp_path / "none.gguf").returncode == 2


def test_the_family_can_be_told(tmp_path: Path) -> None:
    bloom = write_ggml(tmp_path / "a.bin", "bloom", {}, magic="ggml")

    assert diff(bloom, bloom, "--family", "bloom").returncode == 0
    assert diff(bloom, bloom, "--family", "llama").returncode == 2


def test_a_folder_stands_for_the_one_model_in_it(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "a.gguf", Model())
    folder = tmp_path / "parts"
    folder.mkdir()
    write_parts(folder, Model(), (2,))

    done = diff(whole, folder, "--accept", "same-tensors")

    assert done.returncode == 0, done.stderr
    refused = diff(whole, tmp_path / "nothing.gguf")
    assert refused.returncode == 2
    (tmp_path / "empty").mkdir()
    assert "There are no GGUF models" in diff(whole, tmp_path / "empty").stderr
