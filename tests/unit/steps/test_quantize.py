"""Quantizing, with a stand-in for the tool."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Task
from orchestrator.modelfiles import gguf
from orchestrator.steps import quantize
from tests.support.importance_matrices import Entries, old_matrix
from tests.support.model_files import KV
from tests.support.tool_chain_tasks import NORM, WEIGHT, task_of, tool, whole

COPY = "Path(args[1]).write_bytes(Path(args[0]).read_bytes()); print('2 tensors, 4.5 bits')"
ARGS = ("{input}", "{output}", "{type}")
SAYING = {
    "expect": {"number": {r"(\d+) tensors": "tensors"}},
    "lists": {"fallbacks": r"(?P<tensor>[\w.]+): (?P<columns>\d+) (?P<wanted>\w+) -> (?P<got>\w+)"},
}
CONTEXT = {
    "allow_fallback": False,
    "mix": [],
    "format": "gguf",
    "layout": "",
    "imatrix_formats": [],
}
GIVEN = {**CONTEXT, "imatrix_formats": ["gguf", "dat"]}
# Copies the model with the path that it is given of the matrix in its header.
RECORDING = """
import struct
def text(value): return struct.pack('<Q', len(value)) + value
key = text(b'quantize.imatrix.file') + struct.pack('<I', 8)
data = Path(args[0]).read_bytes()
at = data.index(key)
assert Path(args[3]).is_file()
end = at + len(key) + 8 + struct.unpack_from('<Q', data, at + len(key))[0]
Path(args[1]).write_bytes(data[:at] + key + text(args[3].encode()) + data[end:])
print('2 tensors', args[3])
"""


def quantizing(
    folder: Path, code: str, *, context: Mapping[str, Any] = CONTEXT, **rest: Any
) -> Task:
    verbs = {"quantize": tool(code, *ARGS, *rest.pop("arguments", ()), **SAYING)}
    inputs = {"model": whole(folder / "m"), **rest.pop("inputs", {})}
    settings = {"type": "Q4_0", "file": "model.gguf", "imatrix": False, **rest}
    return task_of(folder / "t", verbs, inputs, settings, beside=context)


def test_quantizing_runs_on_bare_names(tmp_path: Path) -> None:
    task = quantizing(tmp_path, COPY + "\nassert args == ['input', 'model.gguf', 'Q4_0'], args")

    facts = quantize.run(task)

    made = (tmp_path / "m" / "model.gguf").read_bytes()
    # Of the file: 256 of 32 bits and 1024 of 16.
    assert facts == {
        "size": len(made),
        "bits_per_weight": 19.2,
        "fallbacks": [],
        "digests": {"model.gguf": hashlib.sha256(made).hexdigest()},
    }
    assert [path.name for path in task.workdir.iterdir()] == ["model.gguf"]


def test_the_importance_matrix_has_a_bare_name_too(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "imatrix.gguf").write_text("matrix")
    code = COPY + "\nassert Path(args[3]).read_text() == 'matrix' and args[3] == 'imatrix.gguf'"

    quantize.run(
        quantizing(tmp_path, code, arguments=["{imatrix}"], inputs={"imatrix": tmp_path / "i"})
    )


def weighed(folder: Path, name: str, entries: Entries, **rest: Any) -> Task:
    """Quantizing with a matrix of others, in a file of the old format."""
    whole(folder / "m", **{"quantize.imatrix.file": KV("str", "x" * len(name))})
    (folder / "i").mkdir()
    (folder / "i" / "x.dat").write_bytes(old_matrix(entries))
    inputs = {"model": folder / "m", "imatrix": folder / "i"}
    verbs = {"quantize": tool(RECORDING, *ARGS, "{imatrix}", **SAYING)}
    settings = {"type": "Q4_0", "file": "model.gguf", "imatrix": True, "imatrix_name": name}
    return task_of(folder / "t", verbs, inputs, settings, beside={**GIVEN, **rest})


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("x.dat", "x.dat"),
        ("X-GGUF/X.imatrix", "X-GGUF/X.imatrix"),
        ("./x.dat", "./x.dat"),
        ("/models_out/X/X.imatrix", "_" * 23),
        ("../x.dat", "________"),
        ("D:\\x\\ä.dat", "___________"),
        ("model.gguf", "__________"),
        ("./input", "_______"),
    ],
)
def test_the_path_of_a_matrix_is_recorded_as_the_recipe_says(
    tmp_path: Path, name: str, used: str
) -> None:
    task = weighed(tmp_path, name, {"weight": [1.0] * 256})

    facts = quantize.run(task)

    assert f"2 tensors {used}\n" in task.log.read_text()
    header = gguf.read(task.workdir / "model.gguf")
    assert header.metadata["quantize.imatrix.file"] == name
    assert header.data_end == (tmp_path / "m" / "model.gguf").stat().st_size
    assert "notes" not in facts
    assert old_matrix({"weight": [1.0] * 256}) == (tmp_path / "i" / "x.dat").read_bytes()


def test_entries_that_no_tensor_has_are_told(tmp_path: Path) -> None:
    entries = {"weight": [1.0] * 256, "other": [1.0]}

    [note] = quantize.run(weighed(tmp_path, "x.dat", entries))["notes"]

    assert note["numbers"] == {"entries": ["other"]}


def test_a_matrix_of_another_model_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"another model: rows .* weight \(9 numbers for 256\)"):
        quantize.run(weighed(tmp_path, "x.dat", {"weight": [1.0] * 9}))


def test_a_matrix_that_is_damaged_is_called_by_its_name(tmp_path: Path) -> None:
    task = weighed(tmp_path, "x.dat", {"weight": [float("nan")]})

    with pytest.raises(StepError, match=r"do it: x\.dat: the entry weight holds NaN"):
        quantize.run(task)


def test_a_format_that_the_commit_does_not_read(tmp_path: Path) -> None:
    task = weighed(tmp_path, "x.dat", {"weight": [1.0] * 256}, imatrix_formats=["gguf"])

    with pytest.raises(StepError, match=r"x\.dat is a matrix in the format dat.* reads only gguf"):
        quantize.run(task)


def test_options_reach_the_tool(tmp_path: Path) -> None:
    each = {"each": "tensor_types", "then": ["{key}={item}"]}
    code = COPY + "\nassert args[3:] == ['pure', 'ffn=q8_0'], args"

    quantize.run(
        quantizing(
            tmp_path,
            code,
            arguments=[{"if": "pure", "then": ["pure"]}, each],
            pure=True,
            tensor_types={"ffn": "q8_0"},
        )
    )


def test_a_quantizer_that_writes_zeros_is_not_believed(tmp_path: Path) -> None:
    code = COPY + "\nwritten = Path(args[1]); data = written.read_bytes()"
    code += "\nwritten.write_bytes(data[:-2048] + bytes(2048))"

    with pytest.raises(StepError, match="holds zeros only"):
        quantize.run(quantizing(tmp_path, code))


@pytest.mark.parametrize("allowed", [False, True])
def test_fallbacks_need_consent(tmp_path: Path, allowed: bool) -> None:
    code = COPY + "\nprint('ffn: 576 q4_K -> q5_0')"
    task = quantizing(tmp_path, code, context={**CONTEXT, "allow_fallback": allowed})

    if allowed:
        assert quantize.run(task)["fallbacks"] == [
            {"tensor": "ffn", "columns": "576", "wanted": "q4_K", "got": "q5_0"}
        ]
    else:
        with pytest.raises(StepError, match=r"1 tensor would silently.*ffn \(576 columns"):
            quantize.run(task)


@pytest.mark.parametrize(("stated", "allowed"), [("f16", True), ("q8_0", False)])
def test_a_tensor_with_the_type_that_the_recipe_states_is_no_fallback(
    tmp_path: Path, stated: str, allowed: bool
) -> None:
    model = whole(tmp_path / "named", NORM, replace(WEIGHT, name="token_embd.weight"))
    code = COPY + "\nprint('token_embd.weight: 576 q6_K -> q8_0')"
    task = quantizing(tmp_path, code, inputs={"model": model}, token_embedding_type=stated)

    if allowed:
        assert quantize.run(task)["fallbacks"] == []
    else:
        with pytest.raises(StepError, match=r"token_embd.weight \(576 columns"):
            quantize.run(task)


def test_a_quantizer_that_saw_another_number_of_tensors(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="says tensors: 1, not 2"):
        quantize.run(quantizing(tmp_path, COPY.replace("2 tensors", "1 tensors")))


def test_a_quantizer_that_wrote_nothing(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="exited 0 but wrote no file"):
        quantize.run(quantizing(tmp_path, "print('2 tensors')"))
