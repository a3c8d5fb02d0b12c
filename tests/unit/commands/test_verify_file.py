"""``orchestrate verify FILE.gguf``: the values of its tensors are looked at, whatever is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator.base.step_values import JSON, Task
from tests.support.command_line import Command
from tests.support.fake_steps import built, fake_kinds, measured
from tests.support.gguf_pairs import Model, write_parts
from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_bytes, gguf_header
from tests.support.scheduler_runs import Work

# As trained ones are; shifted by a byte, some have the exponent of what is no number.
WEIGHTS = np.random.default_rng(1).normal(0, 0.02, 1024).astype(np.float16).tobytes()
SPEC = GGUFSpec({}, [Tensor("blk.0.ffn_up.weight", (256, 4), "F16")])


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (gguf_bytes(SPEC), 0, ""),
        (gguf_header(SPEC) + bytes(2048), 1, "x.gguf: blk.0.ffn_up.weight holds zeros only"),
        (gguf_header(SPEC) + b"\0\x7e" * 1024, 1, "holds 1024 NaN values"),
        (gguf_header(SPEC) + b"\0\x7c" * 1024, 1, "holds 1024 infinite values"),
        (gguf_header(SPEC) + b"\0" + WEIGHTS[:-1], 1, "NaN values"),
    ],
)
def test_damaged_values_fail(
    orchestrate: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    data: bytes,
    code: int,
    said: str,
) -> None:
    fake_kinds(monkeypatch)
    (tmp_path / "x.gguf").write_bytes(data)

    done = orchestrate("verify", tmp_path / "x.gguf")

    assert done.code == code
    assert said in done.err


def test_any_part_and_the_folder_of_a_set_stand_for_it(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_kinds(monkeypatch)
    parts = write_parts(tmp_path, Model(), (1, 3))

    said = [orchestrate("verify", path) for path in (*parts, tmp_path)]

    assert [one.code for one in said] == [0] * 4
    assert {one.out for one in said} == {said[0].out}
    assert "m-00001-of-00003.gguf" in said[0].out


@pytest.mark.parametrize("name", ["m-00001-of-00003.gguf", ""])
def test_a_missing_part_is_named(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    fake_kinds(monkeypatch)
    write_parts(tmp_path, Model(), (1, 3))[1].unlink()

    done = orchestrate("verify", tmp_path / name)

    assert done.code == 1
    assert "m-00002-of-00003.gguf is missing" in done.err


def test_an_encoder_is_measured_as_one(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured_as: list[str] = []

    def work(task: Task) -> dict[str, JSON]:
        measured_as.append(task.step.params["measure"])
        return {"texts": 24, "pooling": "mean", "pooling_stated": True, "dimensions": 4}

    fake_kinds(monkeypatch, measure=measured_but_embedding(work), program=built)
    fields = {"general.architecture": KV("str", "bert")}
    (tmp_path / "x.gguf").write_bytes(gguf_bytes(GGUFSpec(fields, SPEC.tensors)))

    done = orchestrate("verify", tmp_path / "x.gguf")

    assert (done.code, measured_as) == (0, ["embedding"])
    assert "24 texts" in done.out


def measured_but_embedding(work: Work) -> Work:
    def made(task: Task) -> dict[str, JSON]:
        return work(task) if task.step.params["measure"] == "embedding" else measured(task)

    return made
