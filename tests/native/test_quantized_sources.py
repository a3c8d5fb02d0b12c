"""Checkpoints that are quantized already: no tensor is lost, and the numbers are those stored."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator.toolchain import call_verb
from tests.support.quantized_models import METHODS, write_mxfp4_model, write_quantized_model
from tests.support.typed_commands import artifacts, typed
from tests.support.warm_store import link, ready

EXPERTS = "mxfp4"
_HF = {
    **{f"self_attn.{one}_proj": f"attn_{one}" for one in "qkv"},
    "self_attn.o_proj": "attn_output",
    **{f"mlp.{one}_proj": f"ffn_{one}" for one in ("gate", "up", "down")},
}
# Scales of what goes into matrices: files of numbers have no use for them.
DROPPED = {"fp8-tensor": ".activation_scale", "modelopt-fp8": ".input_scale"}
# What the file keeps in four bits.
KEPT = (EXPERTS, "modelopt-fp4")
_CONVERT = """
import sys
sys.path.insert(0, sys.argv[1])
import convert_hf_to_gguf
from conversion.base import TextModel
usual = TextModel.get_vocab_base_pre
for folder in sys.argv[2:]:
    bloom = folder.endswith("mxfp4")
    TextModel.get_vocab_base_pre = (lambda _self, _tokenizer: "bloom") if bloom else usual
    sys.argv = ["convert_hf_to_gguf.py", "--outtype", "f32", "--outfile", f"{folder}.gguf", folder]
    convert_hf_to_gguf.main()
"""

Numbers = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Numbers]]:
    """All models, each converted to F32 by upstream's converter in one process."""
    place = tmp_path_factory.mktemp("quantized")
    worth: dict[str, Numbers] = {
        name: write_quantized_model(place / name, name) for name in METHODS
    }
    worth[EXPERTS] = write_mxfp4_model(place / EXPERTS)
    tools = ready("llama.cpp")
    python = str(call_verb.environment_python(tools["environment"]))
    argv = [python, "-c", _CONVERT, str(tools["build"] / "src"), *(str(place / n) for n in worth)]
    env = {**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return {name: (place / name, one) for name, one in worth.items()}


def file_name(name: str) -> str:
    """What the file calls a matrix of the llama."""
    part = name.removeprefix("model.layers.0.").removesuffix(".weight")
    return f"blk.0.{_HF[part]}.weight" if part in _HF else name


def as_stored(matrix: NDArray[Any], name: str) -> NDArray[Any]:
    """A matrix in the source's order of rows: the converter takes those of heads apart in two."""
    if name not in ("blk.0.attn_q.weight", "blk.0.attn_k.weight"):
        return matrix
    halves = matrix.reshape(4, -1, 2, matrix.shape[1])
    joined: NDArray[Any] = halves.swapaxes(1, 2).reshape(matrix.shape)
    return joined


def numbers_of(path: Path) -> dict[str, NDArray[Any]]:
    """A file's tensors as numbers, with NVFP4's scale of each matrix counted in."""
    found = {one.name: one for one in gguf.GGUFReader(path).tensors}
    numbers = {
        name: gguf.dequantize(one.data, one.tensor_type).reshape(tuple(reversed(one.shape)))
        for name, one in found.items()
    }
    scales = {name: one for name, one in numbers.items() if name.endswith(".scale")}
    for name, scale in scales.items():
        numbers[name.removesuffix(".scale") + ".weight"] *= scale
    return numbers


@pytest.mark.parametrize("method", [*METHODS, EXPERTS])
def test_the_file_holds_the_numbers_that_the_checkpoint_means(
    models: dict[str, tuple[Path, Numbers]], method: str
) -> None:
    folder, worth = models[method]

    found = numbers_of(folder.with_suffix(".gguf"))

    assert len(worth) == (3 if method == EXPERTS else 7)
    for name, numbers in worth.items():
        ours = as_stored(found[file_name(name)], file_name(name))
        np.testing.assert_allclose(ours, numbers, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.fixture(scope="module")
def censuses(models: dict[str, tuple[Path, Numbers]]) -> dict[str, Any]:
    """What one command that plans all of them counts, by the recipes' names."""
    place = models[EXPERTS][0].parent
    link(place / "store", "llama.cpp")
    recipes = []
    for name, (folder, _) in models.items():
        recipe = {
            "name": name,
            "family": "gpt-oss" if name == EXPERTS else "llama",
            "toolchain": "llama.cpp",
            "model": {"path": str(folder)},
            "convert": {
                "outtype": "bf16",
                **({"tokenizer_pre": "bloom"} if name == EXPERTS else {}),
            },
            "quantize": [{"type": "Q8_0", "allow_requantize": name in KEPT}],
            "verify": {"speed": False},
        }
        recipes.append(place / f"{name}.yaml")
        recipes[-1].write_text(json.dumps(recipe), encoding="utf-8")
    said = typed("plan", *recipes, home=place / "store")
    assert said.code == 0, said.all
    found = {}
    for folder in artifacts(place / "store")["census"]:
        label = json.loads((folder / "manifest.json").read_text("utf-8"))["label"]
        counted = json.loads((folder / "files" / "census.json").read_text("utf-8"))
        found[label.rpartition(" ")[2]] = counted
    return found


@pytest.mark.parametrize("method", [*METHODS, EXPERTS])
def test_every_tensor_of_the_checkpoint_is_accounted_for_at_plan(
    censuses: dict[str, Any], method: str
) -> None:
    unused = DROPPED.get(method)

    dropped = censuses[method]["dropped"]

    assert len(dropped) == (7 if unused else 0)
    assert all(name.endswith(unused) for name in dropped)
    # NVFP4's parts are put together before the file's tensors are.
    into = {name: ["blk.0.attn_q.weight"] for name in censuses[method]["read"]}
    into |= censuses[method]["into"]
    scales = [name for name in into if "scale" in name]
    assert scales
    assert all(into[name][0].startswith("blk.0.") for name in scales)


def test_what_the_file_keeps_in_four_bits_is_not_quantized_again_unasked(
    models: dict[str, tuple[Path, Numbers]], censuses: dict[str, Any], tmp_path: Path
) -> None:
    place = models[EXPERTS][0].parent
    asked = (place / f"{EXPERTS}.yaml").read_text("utf-8")
    (place / "unasked.yaml").write_text(asked.replace('"allow_requantize": true', '"pure": false'))

    said = typed("plan", place / "unasked.yaml", home=place / "store")

    assert censuses
    assert (said.code, "quantize again what the converted file keeps as MXFP4" in said.err) == (
        1,
        True,
    )
