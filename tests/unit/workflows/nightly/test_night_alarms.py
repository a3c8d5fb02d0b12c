"""Alarms of whole nights: which are raised, which are raised again, and what the sentences say."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base import machine_info
from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.planning.step_collector import StepCollector
from orchestrator.runs import bring_up_to_date
from tests.support.command_line import Command
from tests.support.fake_steps import fails_for, fake_kinds, measured, written
from tests.support.history_records import a_file
from tests.support.nights import Night, forget, recorded_history


def with_content(content: str) -> Callable[[Task], dict[str, JSON]]:
    """Quantizing ``one`` to Q4_0 gives other bytes than before."""

    def work(task: Task) -> dict[str, JSON]:
        facts = written(task)
        if "quantize one to Q4_0" in task.step.label:
            (task.workdir / task.step.params["file"]).write_text(content)
        return facts

    return work


def numbers(label: str, **changes: Any) -> Callable[[Task], dict[str, JSON]]:
    """Measures with other values in the divergence of one file."""

    def work(task: Task) -> dict[str, JSON]:
        found = measured(task)
        for name, values in changes.items() if task.step.label == f"{label}: divergence" else ():
            found = {**found, name: {**found[name], **values}}
        return found

    return work


def edit(recipe: Path, before: str, after: str) -> None:
    text = recipe.read_text()
    assert before in text
    recipe.write_text(text.replace(before, after))


def test_an_alarm_is_raised_in_nights_that_measure_nothing_until_it_is_accepted(
    night: Night, orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    night()
    worse = numbers("measure one Q4_0", perplexity={"value": 5.09})
    fake_kinds(monkeypatch, measure=worse)
    forget("measure one")

    for number in (2, 3):
        code, told = night()
        [alarm] = told["recipes"]["one"]["alarms"]
        assert (code, alarm["what"], told["recipes"]["one"]["good"]) == (1, "perplexity", 1)
        assert told["night"] == number
    assert told["recipes"]["one"]["made"] == 0

    orchestrate("accept", "one")
    code, told = night()
    assert (code, told["recipes"]["one"]["good"]) == (0, 3)


def at(speed: float) -> Callable[[Task], dict[str, JSON]]:
    """Measures of files that are so fast, in tokens per second."""

    def work(task: Task) -> dict[str, JSON]:
        found = copy.deepcopy(measured(task))
        for one in ("prompt", "generation") if task.step.params["measure"] == "speed" else ():
            found[one]["tokens_per_second"] = speed
        return found

    return work


def test_a_lost_speed_raises_an_alarm_until_it_is_accepted(
    night: Night, orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = []
    for speed in (100.0, 100.0, 100.0, 50.0, 50.0, 50.0):
        fake_kinds(monkeypatch, measure=at(speed))
        forget("measure one")
        codes.append(night("--select", "one")[0])
    assert codes == [0, 0, 0, 0, 0, 1]

    code, told = night("--select", "one")

    one = told["recipes"]["one"]
    assert (code, one["made"], one["state"]) == (1, 0, "alarm")
    assert {alarm["what"] for alarm in one["alarms"]} == {"speed"}
    orchestrate("accept", "one")
    assert night("--select", "one")[0] == 0


def test_speeds_of_another_machine_are_not_compared(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine_info.describe()
    codes = []
    for speed in (100.0, 100.0, 100.0, 50.0, 50.0, 50.0):
        where = replace(here, processor="a slow one") if speed < 100 else here
        monkeypatch.setattr(machine_info, "describe", lambda where=where: where)
        fake_kinds(monkeypatch, measure=at(speed))
        forget("measure one")
        codes.append(night("--select", "one")[0])

    assert codes == [0] * 6
    assert len(recorded_history().machines()) == 2


def test_numbers_of_another_measurement_are_not_compared(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    night()
    fake_kinds(monkeypatch, measure=numbers("measure one Q4_0", perplexity={"value": 5.09}))
    edit(recipes / "one.yaml", "chunks: 8", "chunks: 9")

    code, told = night()

    one = told["recipes"]["one"]
    assert (code, one["alarms"]) == (0, [])
    assert one["notes"] == [
        "the recipe measures differently than in night 1: quality and speed are not compared"
    ]


def test_a_file_that_is_no_longer_asked_for_is_noted(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    night()
    edit(recipes / "one.yaml", "  - Q4_0\n", "")

    code, told = night()

    assert code == 0
    [note] = told["recipes"]["one"]["notes"]
    assert note == "one-Q4_0.gguf: the recipe does not ask for it any more"


def test_a_recipe_that_was_renamed_begins_anew(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    night()
    edit(recipes / "one.yaml", "name: one", "name: other")

    code, told = night()

    assert (code, told["recipes"]["other"]["good"]) == (0, 0)
    assert told["recipes"]["other"]["alarms"] == []


def test_bytes_that_changed_with_the_tool_chains_data_are_said_to(
    orchestrate: Command, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    orchestrate("nightly", recipes)
    fake_kinds(monkeypatch, quantize=with_content("other bytes"))
    monkeypatch.setattr(StepCollector, "add", patched(StepCollector.add))

    said = orchestrate("nightly", recipes)

    assert said.code == 1
    assert (
        "- `one-Q4_0.gguf`: the bytes are different from those of night 1 "
        "(changed since: build llama.cpp 0c1e570)" in said.out
    )
    assert "bisect" not in said.out
    assert "If the change is welcome: `orchestrate accept one`." in said.out


def patched(add: Callable[..., str]) -> Callable[..., str]:
    """What a new patch in a tool chain's folder does to the build step's parameters."""

    def call(self: Any, kind: str, label: str, params: Any, *rest: Any, **more: Any) -> str:
        new = {**params, "patches": {"fix.patch": "a" * 64}} if kind == "build" else params
        return add(self, kind, label, new, *rest, **more)

    return call


def test_other_bytes_of_the_same_inputs_are_said_to_be_that(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    night()
    fake_kinds(monkeypatch, quantize=with_content("other bytes"))
    forget("quantize one to Q4_0")

    code, told = night()

    [alarm] = told["recipes"]["one"]["alarms"]
    assert code == 1
    assert alarm["message"].startswith(
        "the bytes are different from those of night 1, from the same inputs (the earlier file "
    )


def test_drift_is_not_advised_to_be_accepted(
    orchestrate: Command, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    orchestrate("nightly", recipes)
    fake_kinds(monkeypatch, quantize=with_content("drifted"))

    said = orchestrate("nightly", recipes, "--rebuild")

    assert said.code == 1
    assert "made again from the same inputs, its bytes differ" in said.out
    assert "`orchestrate reproduce recipes/one.yaml --twice`" in said.out
    assert "orchestrate accept" not in said.out


def test_a_recipe_that_failed_halfway_raises_alarms_for_the_files_that_are_there(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    night()
    fake_kinds(
        monkeypatch,
        quantize=fails_for("one", StepError("it broke")),
        measure=numbers("measure one Q8_0", perplexity={"value": 5.09}),
    )
    forget("quantize one to Q4_0", "measure one")

    code, told = night()

    one = told["recipes"]["one"]
    assert (code, one["state"]) == (1, "failed")
    assert [alarm["file"] for alarm in one["alarms"]] == ["one-Q8_0.gguf"]
    assert one["notes"] == []


def test_accepting_half_a_night_forgets_no_file(
    night: Night, orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    night()
    fake_kinds(monkeypatch, quantize=fails_for("one", StepError("it broke")))
    forget("quantize one to Q4_0")
    night()
    refused = orchestrate("accept", "one")
    assert (refused.code, "one failed in night 2: " in refused.err) == (2, True)
    said = orchestrate("accept", "one", "--failed", "--site", "pages").out
    assert "night 2" in said
    assert "one-Q8_0.gguf" in said
    assert "one-Q4_0.gguf" not in said
    assert Path("pages/index.html").is_file()
    fake_kinds(monkeypatch, quantize=with_content("other bytes"))

    code, told = night()

    assert code == 1
    [alarm] = told["recipes"]["one"]["alarms"]
    assert (alarm["file"], alarm["what"]) == ("one-Q4_0.gguf", "bytes")
    assert "night 1" in alarm["message"]


def test_the_unquantized_file_is_known_as_such(night: Night, fakes: None) -> None:
    night()

    [run] = recorded_history().runs("one")
    full = [row.file for row in recorded_history().files([run.id])[run.id] if row.full]
    assert full == ["F16, for comparison"]
    assert not a_file("F16").full


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (EnvironmentProblem("the disk is full"), "environment"),
        (StepError("it broke"), "failed"),
    ],
)
def test_an_alarm_beside_what_could_not_be_made_is_an_alarm(
    night: Night, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str
) -> None:
    fake_kinds(monkeypatch)
    night()
    fake_kinds(
        monkeypatch,
        quantize=fails_for("one", error),
        measure=numbers("measure one Q8_0", perplexity={"value": 5.09}),
    )
    forget("quantize one to Q4_0", "measure one")

    code, told = night()

    assert (code, told["recipes"]["one"]["state"]) == (1, state)
    assert len(told["recipes"]["one"]["alarms"]) == 1
    assert told["state"] == ("failed" if state == "failed" else "alarm")


def test_a_rebuild_that_cannot_measure_again_stops_no_other_recipe(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    night()
    bring = bring_up_to_date.bring

    def no_room(session: Any, plans: Any, out: Path, **more: Any) -> Any:
        if not more and plans[0].recipe.name == "one":
            raise EnvironmentProblem("the disk is too small")
        return bring(session, plans, out, **more)

    monkeypatch.setattr(bring_up_to_date, "bring", no_room)

    code, told = night("--rebuild")

    assert (code, told["recipes"]["one"]["state"]) == (3, "environment")
    assert (told["recipes"]["two"]["state"], told["recipes"]["two"]["rebuilt"]) == ("ok", True)
