"""The step around the merge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError, UsageError
from orchestrator.base.step_values import Progress, Step, Task
from orchestrator.steps import merge
from tests.support.lora_adapters import factors, write_adapter
from tests.support.merge_pairs import llama, read_model, write_model


def task(folder: Path, method: str, seen: list[Progress]) -> Task:
    (folder / "work").mkdir()
    return Task(
        step=Step("merge", "merge", "key", {"method": method}),
        inputs={
            "base": write_model(folder / "base", llama(32, "F16", 1)),
            "delta": write_model(folder / "delta", llama(33, "BF16", 2), "bin", 2),
        },
        workdir=folder / "work",
        scratch=folder / "scratch",
        log=folder / "log",
        threads=2,
        report=seen.append,
    )


def test_the_working_folder_becomes_a_model(tmp_path: Path) -> None:
    seen: list[Progress] = []
    facts = merge.run(task(tmp_path, "delta", seen))
    total = sum(len(tensor.data) for tensor in llama(33, "F16", 1).values())
    assert facts == {"tensors": 21, "bytes": total, "new_rows": 1, "warnings": []}
    assert seen[-1] == Progress(total, total, "B")
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.model",
    ]
    assert (tmp_path / "work" / "tokenizer.model").read_bytes() == b"delta"
    assert read_model(tmp_path / "work").keys() == llama(33, "F16", 1).keys()


def test_an_unknown_method_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'xor' is not a way of merging") as caught:
        merge.run(task(tmp_path, "xor", []))
    assert caught.value.hint == "Known ways: delta, lora."
    assert not list((tmp_path / "work").iterdir())


def test_errors_name_what_the_recipe_names(tmp_path: Path) -> None:
    made = task(tmp_path, "delta", [])
    named = replace(made.step, context={"base": "org/base@1234567", "delta": "/my/delta"})
    (made.inputs["base"] / "config.json").unlink()
    with pytest.raises(StepError) as caught:
        merge.run(replace(made, step=named))
    assert caught.value.message == "org/base@1234567/config.json is missing."


def test_an_adapter_for_a_base_of_another_name_is_merged_with_a_note(tmp_path: Path) -> None:
    made = task(tmp_path, "lora", [])
    module = factors("model.layers.0.self_attn.q_proj", 16, 16)
    adapter = write_adapter(tmp_path / "a", module, lora_alpha=0.001)

    def notes(base: str) -> object:
        for path in made.workdir.iterdir():
            path.unlink()
        context = {"base": base, "lora 1": "./a"}
        step = replace(made.step, params={"method": "lora", "scales": [1.0]}, context=context)
        inputs = {"base": made.inputs["base"], "lora 1": adapter}
        return merge.run(replace(made, step=step, inputs=inputs)).get("notes")

    assert notes("org/base@1234567") is None
    assert notes("org/other@1234567") == [
        "./a says that it was made for 'somebody/base', and is merged into org/other@1234567"
    ]
