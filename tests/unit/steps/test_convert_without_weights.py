"""Foretelling from headers, with stand-ins for the tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Task
from orchestrator.modelfiles import gguf, safetensors
from orchestrator.steps import convert_without_weights, inspect_model, predict_sizes
from tests.support.hub_repositories import tensor_file
from tests.support.importance_matrices import old_matrix
from tests.support.merge_pairs import HIDDEN, Tensors, llama, make, write_model
from tests.support.model_files import KV
from tests.support.tasks import a_task
from tests.support.tool_chain_tasks import CONVERSION, task_of, tool, whole

CONVERT_HOLES = """
import json, shutil
model = Path(args[0])
shutil.copyfile(args[2], args[1])
names = sorted(path.name for path in model.iterdir())
sizes = {name: (model / name).stat().st_size for name in names}
Path(args[3]).write_text(json.dumps([model.name, sizes]))
"""


def outlined(folder: Path, source: Path, *, headers: bool = True) -> Path:
    """The artifact that describing a model folder leaves."""
    (folder / "small").mkdir(parents=True)
    (folder / "headers").mkdir()
    (folder / "small" / "config.json").write_text('{"vocab_size": 32}')
    entry: dict[str, Any] = {"size": source.stat().st_size, "sha256": "0" * 64}
    if headers:
        (folder / "headers" / "00000.bin").write_bytes(source.read_bytes()[:100])
        entry["header"] = "headers/00000.bin"
    (folder / "weights.json").write_text(json.dumps({"model.safetensors": entry}))
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    tensor_file(tmp_path / "weights", 1_000_000)
    return tmp_path / "weights"


def header_task(
    folder: Path, inputs: Mapping[str, Path], shapes: Any = None, *, trusted: bool = False
) -> tuple[Task, Path]:
    """Trying a conversion; what the converter saw is in the file."""
    words = KV("arr", ["a", "b", "c"], "str")
    made = whole(folder / "made", **{"tokenizer.ggml.tokens": words}) / "model.gguf"
    seen = folder / "t" / "scratch" / "seen.json"
    writes = f"Path(args[1]).write_text({json.dumps(json.dumps(shapes))})"
    verbs = {
        "describe": tool(CONVERT_HOLES, "{input}", "{output}", str(made), str(seen)),
        "shapes": tool(writes, "{input}", "{output}"),
    }
    settings = {**CONVERSION, "trust_remote_code": trusted}
    return task_of(folder / "t", verbs, {**inputs, "made": made.parent}, settings), seen


def test_a_pointer_in_place_of_a_tokenizer_is_named(tmp_path: Path, weights: Path) -> None:
    outline = outlined(tmp_path / "o", weights)
    (outline / "small" / "tokenizer.model").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    task, _ = header_task(tmp_path, {"model": outline})

    with pytest.raises(StepError, match=r"^tokenizer\.model: only what git-lfs"):
        convert_without_weights.run(task)


def test_the_header_of_the_file_to_come(tmp_path: Path, weights: Path) -> None:
    task, seen = header_task(tmp_path, {"model": outlined(tmp_path / "o", weights)})

    facts = convert_without_weights.run(task)

    made = tmp_path / "made" / "model.gguf"
    assert facts == {"size": made.stat().st_size, "parameters": 1280, "vocabulary": 3}
    kept = (task.workdir / "header.gguf").read_bytes()
    assert kept == made.read_bytes()[: gguf.read(made).data_offset]
    name, sizes = json.loads(seen.read_text())
    assert name == "small"
    assert sizes == {"config.json": 18, "model.safetensors": weights.stat().st_size}
    hole = task.scratch / "small" / "model.safetensors"
    assert hole.stat().st_blocks * 512 < 100_000


TENSORS = {
    "model.embed": {"dtype": "float16", "shape": [32, 8]},
    "model.norm": {"dtype": "float32", "shape": [8]},
    "model.mask": {"dtype": "bool", "shape": [8]},
    "head": {"dtype": "float16", "shape": [32, 8]},
}
SHAPES = {"tensors": TENSORS, "tied": ["head"], "prefix": "model"}


@pytest.mark.parametrize(
    ("index", "names"),
    [
        (None, {"model.embed": "F16", "model.norm": "F32"}),
        (["embed", "norm", "head", "buffer"], {"embed": "F16", "norm": "F32", "head": "F16"}),
    ],
)
def test_shapes_stand_in_for_headers(
    tmp_path: Path, weights: Path, index: list[str] | None, names: dict[str, str]
) -> None:
    outline = outlined(tmp_path / "o", weights, headers=False)
    if index:
        listed = json.dumps({"weight_map": dict.fromkeys(index, "pytorch_model-1.bin")})
        (outline / "small" / "pytorch_model.bin.index.json").write_text(listed)
    task, seen = header_task(tmp_path, {"model": outline}, SHAPES)

    convert_without_weights.run(task)

    _, sizes = json.loads(seen.read_text())
    hole = task.scratch / "small" / "model.safetensors"
    assert sizes == {"config.json": 18, "model.safetensors": hole.stat().st_size}
    found = safetensors.read_header(hole)
    assert {one.name: one.dtype for one in found.tensors} == names
    [embed] = [one for one in found.tensors if one.name.endswith("embed")]
    assert tuple(embed.shape) == (32, 8)


@pytest.mark.parametrize(("trusted", "named"), [(False, False), (True, True)])
@pytest.mark.parametrize("merged", [False, True])
def test_the_converter_sees_references_to_code_if_they_are_trusted(
    tmp_path: Path, weights: Path, trusted: bool, named: bool, merged: bool
) -> None:
    sides = ("base", "delta") if merged else ("model",)
    inputs = {side: outlined(tmp_path / side, weights, headers=not merged) for side in sides}
    for outline in inputs.values():
        (outline / "small" / "tokenizer.model").touch()
        for name in ("config.json", "tokenizer_config.json"):
            (outline / "small" / name).write_text('{"auto_map": "x.Y", "vocab_size": 33}')
    task, _ = header_task(tmp_path, inputs, SHAPES, trusted=trusted)

    convert_without_weights.run(task)

    for name in ("config.json", "tokenizer_config.json"):
        found = json.loads((task.scratch / "small" / name).read_text())
        assert ("auto_map" in found) == named


def test_base_and_delta_have_the_deltas_shapes(tmp_path: Path, weights: Path) -> None:
    base, delta = (outlined(tmp_path / side, weights, headers=False) for side in ("b", "d"))
    (base / "small" / "config.json").write_text('{"vocab_size": 32, "rope_theta": 8}')
    (base / "small" / "generation_config.json").write_text("{}")
    (base / "small" / "tokenizer.model").write_text("base")
    (delta / "small" / "config.json").write_text('{"vocab_size": 33, "rope_theta": 9}')
    (delta / "small" / "tokenizer.model").write_text("delta")
    task, _ = header_task(tmp_path, {"base": base, "delta": delta}, SHAPES)

    convert_without_weights.run(task)

    model = task.scratch / "small"
    config = json.loads((model / "config.json").read_text())
    assert (config["vocab_size"], config["rope_theta"]) == (33, 8)
    assert (model / "tokenizer.model").read_text() == "delta"
    assert (model / "generation_config.json").is_file()


def described(folder: Path, model: Path) -> Path:
    """The artifact that describing a real model folder leaves."""
    source = {"kind": "path", "files": {path.name: "0" * 64 for path in model.iterdir()}}
    task = a_task(folder, {"source": source, "format": "hf"}, {"path": str(model)}, {}, [])
    inspect_model.run(task)
    return task.workdir


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize(
    ("base", "delta", "said"),
    [
        (
            32,
            {**llama(33, "F16", 2), "model.norm.weight": make("F16", (2 * HIDDEN,), 1)},
            str(2 * HIDDEN),
        ),
        (33, llama(32, "F16", 2), "32"),
        (32, {k: v for k, v in llama(33, "F16", 2).items() if "q_proj" not in k}, "q_proj"),
    ],
    ids=["another hidden size", "swapped", "a missing tensor"],
)
def test_sides_that_cannot_fit_are_refused_before_weights_are_fetched(
    tmp_path: Path, kind: str, base: int, delta: Tensors, said: str
) -> None:
    size = 2 * HIDDEN if said == str(2 * HIDDEN) else HIDDEN
    pair = {
        "base": write_model(tmp_path / "base", llama(base, "F16", 1), kind, 2),
        "delta": write_model(tmp_path / "delta", delta, kind, 2, hidden_size=size),
    }
    inputs = {side: described(tmp_path / f"of {side}", model) for side, model in pair.items()}
    task, _ = header_task(tmp_path, inputs, SHAPES)
    named = {"base": "org/base@1234567", "delta": "/my/delta"}
    task = replace(task, step=replace(task.step, context={**task.step.context, **named}))

    with pytest.raises(StepError, match=r"in /my/delta does not fit .* in org/base@1234567") as it:
        convert_without_weights.run(task)
    assert said in it.value.message
    assert str(tmp_path) not in it.value.message


DRY = """
size = Path(args[0]).stat().st_size
print('size', size)
print('norm f32'); print('weight f16 q8_0' if args[1] == 'Q8_0' else 'weight f16 q4_0')
if args[1] == 'Q4_0': print('weight: 4 q4_K -> q4_0'); print('will require an imatrix')
"""
TOLD = {
    "lists": {
        "tensors": r"(?m)^(?P<tensor>\w+) (?P<from>f\d+)(?: (?P<to>q\w+))?$",
        "fallbacks": r"(?P<tensor>\w+): (?P<columns>\d+) (?P<wanted>\w+) -> (?P<got>\w+)",
        "needs_imatrix": r"(?P<warning>will require an imatrix)",
    }
}


def forecast_task(folder: Path, code: str = DRY, full: str = "", **context: Any) -> Task:
    source = whole(folder / "whole") / "model.gguf"
    head = folder / "h"
    head.mkdir()
    offset = gguf.read(source).data_offset
    (head / "header.gguf").write_bytes(source.read_bytes()[:offset])
    outputs = [
        {"name": "Q8_0", "type": "Q8_0", "imatrix": False},
        {"name": "mine", "type": "Q4_0", "imatrix": False},
    ]
    verbs = {"plan_quantize": tool(code, "{input}", "{type}", **TOLD)}
    context = {"requantize": False, **context}
    params = {"outputs": outputs, "full": full}
    return task_of(folder / "t", verbs, {"header": head}, params, beside=context)


def test_sizes_are_predicted_from_the_header_alone(tmp_path: Path) -> None:
    task = forecast_task(tmp_path)

    facts = predict_sizes.run(task)

    eight, four = facts["outputs"]["Q8_0"], facts["outputs"]["mine"]
    assert eight["census"] == {"F32": 1, "Q8_0": 1}
    assert (four["census"], four["needs_imatrix"]) == ({"F32": 1, "Q4_0": 1}, True)
    assert four["fallbacks"] == [
        {"tensor": "weight", "columns": "4", "wanted": "q4_K", "got": "q4_0"}
    ]
    assert not eight["fallbacks"]
    assert eight["size"] - four["size"] == 1024 // 32 * (34 - 18)
    assert eight["bits_per_weight"] == round(8 * (1024 + 1024 * 34 / 32) / 1280, 4)
    source = tmp_path / "whole" / "model.gguf"
    assert facts["full"]["size"] == source.stat().st_size
    assert facts["full"]["parameters"] == 1280
    assert facts["full"]["largest_tensor"] == 1024
    assert json.loads((task.workdir / "forecast.json").read_text()) == facts
    assert f"size {source.stat().st_size}" in task.log.read_text()


def test_a_file_that_is_quantized_already_is_told_as_it_will_be(tmp_path: Path) -> None:
    facts = predict_sizes.run(forecast_task(tmp_path, full="F16", requantize=True))

    assert facts["full"]["size"] != (tmp_path / "whole" / "model.gguf").stat().st_size


def test_a_dry_run_that_spoke_of_other_tensors(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="listed 1 tensor, the model has 2"):
        predict_sizes.run(forecast_task(tmp_path, "print('norm f32')"))


def with_matrix(folder: Path, *names: str, columns: int = 256) -> Task:
    """Predicting sizes of a file that is made with a matrix of others."""
    task = forecast_task(folder)
    (folder / "i").mkdir()
    (folder / "i" / "x.dat").write_bytes(old_matrix(dict.fromkeys(names, [1.0] * columns)))
    outputs = [{"name": "mine", "type": "Q4_0", "imatrix": True, "imatrix_name": "a/b.dat"}]
    params = {"outputs": outputs, "full": ""}
    return replace(
        task,
        step=replace(task.step, params=params),
        inputs={**task.inputs, "imatrix": folder / "i"},
    )


def test_a_matrix_of_others_is_looked_at_and_counts_for_the_size(tmp_path: Path) -> None:
    plain = predict_sizes.run(forecast_task(tmp_path))["outputs"]["mine"]

    facts = predict_sizes.run(with_matrix(tmp_path / "2", "weight"))["outputs"]["mine"]

    keys: dict[str, str | int] = {
        "quantize.imatrix.file": "a/b.dat",
        "quantize.imatrix.dataset": "words.txt",
        "quantize.imatrix.entries_count": 1,
        "quantize.imatrix.chunks_count": 2,
    }
    whole_ = gguf.read(tmp_path / "whole" / "model.gguf")
    types = {"weight": "Q4_0"}
    assert facts["size"] == gguf.predicted_size(whole_, types, extra_kv=keys)
    assert facts["size"] > plain["size"]
    assert facts["unweighed"] == []
    assert "unweighed" not in plain


def test_a_matrix_of_another_model_stops_before_weights_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"rows have other lengths in weight \(3 numbers for 256"):
        predict_sizes.run(with_matrix(tmp_path, "weight", columns=3))


def test_a_part_is_tried_by_its_own_verb_and_says_nothing_of_the_text(
    tmp_path: Path, weights: Path
) -> None:
    made = whole(tmp_path / "made") / "model.gguf"
    code = "Path(args[1]).write_bytes(bytes.fromhex(args[2])); assert args[3] == 'holes'"
    holes = {"if": "header_only", "then": ["holes"]}
    verbs = {"mmproj": tool(code, "{input}", "{output}", made.read_bytes().hex(), holes)}
    params = {**CONVERSION, "part": "mmproj", "trust_remote_code": False}
    outline = outlined(tmp_path / "outline", weights)

    facts = convert_without_weights.run(task_of(tmp_path / "t", verbs, {"model": outline}, params))

    assert facts == {"size": made.stat().st_size, "parameters": 1280, "vocabulary": 0}
