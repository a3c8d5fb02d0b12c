"""What steps are told of a tool chain's verbs: looked up once, and always of this very data."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.base.step_values import Resources
from orchestrator.planning.step_collector import StepCollector, verbs
from orchestrator.toolchain import load
from orchestrator.toolchain.model import Verb


def test_a_verb_is_written_out_once_for_all_steps_that_call_it_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    dump = BaseModel.model_dump

    def counted(self: BaseModel, **options: Any) -> Any:
        written.append(type(self).__name__)
        return dump(self, **options)

    monkeypatch.setattr(Verb, "model_dump", counted)
    chain = load.load("llama.cpp").model_copy(update={"about": "a copy for this test"})
    told = [verbs(chain, "quantize", "describe", options=("pure",)) for _ in range(20)]
    assert all(one == told[0] for one in told)
    assert len(written) == 2


def test_other_data_or_options_are_told_although_the_name_is_the_same() -> None:
    chain = load.load("llama.cpp")
    verb = chain.verbs["quantize"]
    other = verb.model_copy(update={"argv": ("other",)})
    changed = chain.model_copy(update={"verbs": {**chain.verbs, "quantize": other}})
    identity, context = verbs(chain, "quantize")
    assert verbs(changed, "quantize")[0]["quantize"]["argv"] == ["other"]
    assert verbs(chain, "quantize") == (identity, context)
    option = next(name for name, one in verb.options.items() if one.argv)
    assert verbs(chain, "quantize", options=(option,))[0] != identity


@pytest.mark.parametrize(("stated", "needed"), [({}, False), ({"gpu_layers": 99}, True)])
def test_a_step_that_puts_layers_on_a_gpu_needs_one(stated: dict[str, int], needed: bool) -> None:
    collector = StepCollector()
    key = collector.add("measure", "load", {"runtime": stated}, resources=Resources(cpu=True))

    assert collector.step(key).resources == Resources(cpu=True, gpu=needed)
