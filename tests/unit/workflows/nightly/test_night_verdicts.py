"""How near tonight's bytes are to the last good night's, on real files in a real store."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base.step_values import JSON, Task
from orchestrator.sources import git
from tests.support.fake_steps import fake_kinds
from tests.support.gguf_pairs import FIELDS, Model, data_of, write_gguf
from tests.support.model_files import KV, Tensor
from tests.support.nights import Night, add

WIDE = Tensor("wide", (256, 64), "F16")
PLAIN = Model(tensors=(WIDE,))
RENAMED = replace(PLAIN, fields={**FIELDS, "general.name": KV("str", "another")})
ONE_BYTE = replace(PLAIN, data={"wide": bytes([data_of(WIDE)[0] ^ 1]) + data_of(WIDE)[1:]})
OTHER = replace(PLAIN, data={"wide": bytes(len(data_of(WIDE)))})


@pytest.mark.parametrize(
    ("after", "verdict", "accepted"),
    [
        (PLAIN, "identical", "identical"),
        (RENAMED, "same tensors", "same-tensors"),
        (ONE_BYTE, "near", "near"),
        (OTHER, "different", "false"),
    ],
)
def test_the_verdict_is_that_of_diff_and_raises_an_alarm_unless_the_recipe_accepts_it(
    after: Model,
    verdict: str,
    accepted: str,
    night: Night,
    recipes: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commits = (f"{number:040x}" for number in itertools.count(1))
    monkeypatch.setattr(git, "resolve", lambda _url, _revision: next(commits))
    moving = "toolchain: {name: llama.cpp, commit: main}"
    add(recipes, "moving", "toolchain: llama.cpp", f"{moving}\nalarms: {{bytes: {accepted}}}")
    add(recipes, "strict", "toolchain: llama.cpp", moving)

    def quantized(model: Model) -> None:
        def work(task: Task) -> dict[str, JSON]:
            write_gguf(task.workdir / task.step.params["file"], model)
            return {"size": 1, "bits_per_weight": 4.84, "fallbacks": []}

        fake_kinds(monkeypatch, quantize=work)

    quantized(PLAIN)
    assert night("--select", "[ms]*")[0] == 0
    quantized(after)
    _, told = night("--select", "[ms]*")

    found = told["recipes"]
    for name in ("moving", "strict"):
        verdicts = {row["file"]: row["verdict"] for row in found[name]["files"]}
        assert verdicts[f"{name}-Q4_0.gguf"] == verdict
    assert not [one for one in found["moving"]["alarms"] if one["what"] == "bytes"]
    raised = {one["file"] for one in found["strict"]["alarms"] if one["what"] == "bytes"}
    assert ("strict-Q4_0.gguf" in raised) is (verdict != "identical")
