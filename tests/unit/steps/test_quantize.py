"""Quantizing, with a stand-in for the tool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Task
from orchestrator.steps import quantize
from tests.support.tool_chain_tasks import task_of, tool, whole

COPY = "Path(args[1]).write_bytes(Path(args[0]).read_bytes()); print('2 tensors, 4.5 bits')"
ARGS = ("{input}", "{output}", "{type}")
SAYING = {
    "expect": {"number": {r"(\d+) tensors": "tensors"}},
    "lists": {"fallbacks": r"(?P<tensor>\w+): (?P<columns>\d+) (?P<wanted>\w+) -> (?P<got>\w+)"},
}
CONTEXT = {"allow_fallback": False, "mix": [], "format": "gguf", "layout": ""}


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

    size = (tmp_path / "m" / "model.gguf").stat().st_size
    # Of the file: 256 of 32 bits and 1024 of 16.
    assert facts == {"size": size, "bits_per_weight": 19.2, "fallbacks": []}
    assert [path.name for path in task.workdir.iterdir()] == ["model.gguf"]


def test_the_importance_matrix_has_a_bare_name_too(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "imatrix.gguf").write_text("matrix")
    code = COPY + "\nassert Path(args[3]).read_text() == 'matrix' and args[3] == 'imatrix.gguf'"

    quantize.run(
        quantizing(tmp_path, code, arguments=["{imatrix}"], inputs={"imatrix": tmp_path / "i"})
    )


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


def test_a_quantizer_that_saw_another_number_of_tensors(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="says tensors: 1, not 2"):
        quantize.run(quantizing(tmp_path, COPY.replace("2 tensors", "1 tensors")))


def test_a_quantizer_that_wrote_nothing(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="exited 0 but wrote no file"):
        quantize.run(quantizing(tmp_path, "print('2 tensors')"))
