"""The scripts in the tool chains' data, on stand-ins for the tools that they start."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.toolchain import load

TOOL = """
import sys
print("0.01 seconds per pass - ETA 0 minutes")
for chunk in range(1, 8):
    print(f"[{chunk}]{100 / chunk:.4f},", end="", flush=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("chunks", "code", "last", "expected"),
    [(1, 0, 1, 0), (3, 0, 3, 0), (-1, 0, 7, 0), (9, 3, 7, 3)],
)
def test_perplexity_is_ended_after_its_chunks(
    chunks: int, code: int, last: int, expected: int, tmp_path: Path
) -> None:
    tool = tmp_path / "tool.py"
    tool.write_text(TOOL, encoding="utf-8")
    script = load.VENDOR / "llama.cpp-ggjt-v1" / "perplexity.py"
    argv: list[str | Path] = [sys.executable, script, str(chunks), sys.executable, tool, str(code)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == expected
    assert re.findall(r"\[(\d+)\]", done.stdout)[-1] == str(last)


CONVERTER = """
import json
from dataclasses import dataclass

@dataclass
class Params:
    n_head: int
    n_mult: int

    @staticmethod
    def guessed(model, file_type):
        return Params(n_head=99, n_mult=256)

def permute_lazy(tensor, n_head):
    return n_head

def main(arguments):
    header = json.loads(b'{"__metadata__": {}, "a": 1}')
    params = Params.guessed(None, None)
    print(json.load is not None, header, params.n_head, params.n_mult, permute_lazy(None, 99))
    print(arguments[-1].replace(chr(92), "/").rpartition("/")[2])
"""


def convert_v1(tmp_path: Path, config: str, weights: str) -> subprocess.CompletedProcess[str]:
    source, model = tmp_path / "src", tmp_path / "model"
    source.mkdir()
    model.mkdir()
    (source / "convert.py").write_text(CONVERTER, encoding="utf-8")
    (model / "config.json").write_text(config, encoding="utf-8")
    (model / weights).touch()
    script = load.VENDOR / "llama.cpp-ggjt-v1" / "convert.py"
    argv: list[str | Path] = [sys.executable, script, source, "--", "--outtype", "f16", model]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


CONFIG = '{"num_attention_heads": 4, "hidden_size": 256, "intermediate_size": %d}'


@pytest.mark.parametrize(
    ("weights", "passed"),
    [
        ("model.safetensors", "model.safetensors"),
        ("model-00001-of-00003.safetensors", "model-00001-of-00003.safetensors"),
        ("pytorch_model-00001-of-00002.bin", "model"),
    ],
)
def test_the_converter_of_ggjt_v1_learns_of_safetensors(
    weights: str, passed: str, tmp_path: Path
) -> None:
    done = convert_v1(tmp_path, CONFIG % 768, weights)
    assert done.stdout.splitlines() == ["True {'a': 1} 4 256 4", passed]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (CONFIG % 600, "no n_mult gives a feed-forward layer of 600 for an embedding of 256"),
        (CONFIG.replace("{", '{"num_key_value_heads": 2, ') % 768, "key-value heads"),
    ],
)
def test_the_converter_of_ggjt_v1_refuses_what_it_would_garble(
    config: str, sentence: str, tmp_path: Path
) -> None:
    done = convert_v1(tmp_path, config, "model.safetensors")
    assert done.returncode != 0
    assert sentence in done.stderr


def test_llama_keeps_the_rounding_that_published_files_have(tmp_path: Path) -> None:
    """LLaMA-7B's 11008 is also a multiple of larger numbers; its files say 256."""
    config = '{"num_attention_heads": 32, "hidden_size": 4096, "intermediate_size": 11008}'
    assert " 32 256 32" in convert_v1(tmp_path, config, "model.safetensors").stdout
