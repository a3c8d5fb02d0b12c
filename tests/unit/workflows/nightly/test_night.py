"""Whole nights from the command line, with faked work: what stops what, and exit codes."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, StepError
from orchestrator.base.file_mutex import Locks
from orchestrator.base.step_values import JSON, Task
from orchestrator.engine import scheduler
from tests.support.command_line import Command
from tests.support.fake_steps import GOOD, fails_for, fake_kinds, logits, measured, written
from tests.support.nights import Night, add, artifacts, forget, recorded_history


@pytest.mark.usefixtures("fakes")
def test_a_first_night_makes_all_and_a_second_nothing(night: Night) -> None:
    code, told = night()

    assert (code, told["state"], told["exit_code"]) == (0, "ok", 0)
    assert all(one["made"] > 5 for one in told["recipes"].values())
    assert (Path("dist") / "two" / "two-Q4_0.gguf").exists()

    code, told = night()

    assert (code, told["night"]) == (0, 2)
    assert {(one["made"], one["good"]) for one in told["recipes"].values()} == {(0, 1)}
    verdicts = {row["verdict"] for one in told["recipes"].values() for row in one["files"]}
    assert verdicts == {"identical"}


@pytest.mark.usefixtures("fakes")
def test_recipes_that_are_no_recipes_stop_no_other(night: Night, recipes: Path) -> None:
    (recipes / "broken.yaml").write_text("name: broken\n")
    add(recipes, "unknown", "toolchain: llama.cpp", "toolchain: llama.ccp")
    (recipes / "twice.yaml").write_text((recipes / "one.yaml").read_text())

    code, told = night()

    assert code == 1
    states = {name: one["state"] for name, one in told["recipes"].items()}
    assert states == {
        "broken": "failed",
        "unknown": "failed",
        "twice": "failed",
        "one": "ok",
        "two": "ok",
    }
    assert "has the name 'one' too" in told["recipes"]["twice"]["error"]
    assert [run.state for run in recorded_history().runs("broken")] == ["failed"]


def test_one_that_fails_is_told_with_its_log_and_the_others_are_made(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch, quantize=fails_for("one", StepError("the tool broke", "Mend it.")))

    code, told = night()

    assert (code, told["state"]) == (1, "failed")
    assert "the tool broke" in told["recipes"]["one"]["error"]
    assert told["recipes"]["two"]["state"] == "ok"
    assert not Path("dist/one/one-Q4_0.gguf").exists()
    assert Path("dist/one/one-Q8_0.gguf").exists()
    [run] = recorded_history().runs("one")
    [step] = [one for one in recorded_history().steps(run.id) if one.outcome == "failed"]
    assert (step.exit, step.kind) == (1, "quantize")


def test_the_numbers_of_files_stand_in_the_history_once(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)

    _, told = night()

    assert told["recipes"]["one"]["files"][0]["perplexity"]
    [kept] = recorded_history().nights()
    assert {len(one["files"]) for one in kept.summary["recipes"]} == {0}
    [run] = recorded_history().runs("one")
    assert recorded_history().files([run.id])[run.id][0].value("perplexity")


def test_a_full_disk_is_the_environments_fault(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch, quantize=fails_for("two", EnvironmentProblem("the disk is full")))

    code, told = night()

    assert (code, told["recipes"]["two"]["state"]) == (3, "environment")


def test_an_alarm_is_not_hidden_behind_a_network_that_is_gone(
    night: Night, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    fake_kinds(monkeypatch)
    night()
    kld = {**GOOD["kld"], "perplexity": {**GOOD["perplexity"], "value": 5.07}}
    gone = NetworkProblem("the network is gone")
    fake_kinds(
        monkeypatch,
        measure=lambda task: (
            kld if task.step.label == "measure one Q4_0: divergence" else measured(task)
        ),
        quantize=fails_for("two", gone),
    )
    forget("measure one", "quantize two")

    code, told = night()

    assert (code, told["state"]) == (1, "alarm")
    assert told["recipes"]["two"]["state"] == "environment"
    [alarm] = told["recipes"]["one"]["alarms"]
    assert (alarm["what"], alarm["file"]) == ("perplexity", "one-Q4_0.gguf")
    assert len(waits) == 3


def test_a_network_that_comes_back_is_waited_for(
    night: Night, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    faults = [NetworkProblem("busy", wait=90), NetworkProblem("gone")]

    def work(task: Task) -> dict[str, JSON]:
        if "quantize one to Q4_0" in task.step.label and faults:
            raise faults.pop(0)
        return written(task)

    fake_kinds(monkeypatch, quantize=work)

    code, told = night()

    assert (code, told["state"]) == (0, "ok")
    assert waits == [90, 240]
    assert told["recipes"]["one"]["made"] == told["recipes"]["two"]["made"] > 5


@pytest.mark.usefixtures("fakes")
def test_a_reference_that_cannot_be_resolved_is_tried_again_and_stops_no_other(
    night: Night, recipes: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.sources import git

    answers: list[Any] = [NetworkProblem("github sleeps"), "e" * 40]

    def resolve(url: str, revision: str) -> str:
        assert revision == "main"
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return str(found)

    monkeypatch.setattr(git, "resolve", resolve)
    moving = "toolchain: {name: llama.cpp, commit: main}"
    add(recipes, "moving", "toolchain: llama.cpp", moving)

    code, told = night()

    assert (code, waits) == (0, [60])
    assert told["recipes"]["moving"]["commit"] == "e" * 40
    answers += [NetworkProblem("github sleeps")] * 2
    code, told = night("--retries", "1")
    assert (code, told["recipes"]["moving"]["state"]) == (3, "environment")
    assert told["recipes"]["one"]["state"] == "ok"


@pytest.mark.usefixtures("fakes")
def test_a_night_that_is_over_says_what_was_left(night: Night) -> None:
    code, told = night("--max-hours", "0.0000001")

    assert (code, told["state"]) == (0, "left")
    assert any("quantize one" in label for label in told["recipes"]["one"]["left"])
    code, told = night()
    assert (code, told["state"]) == (0, "ok")


def test_a_night_that_is_over_keeps_what_the_next_goes_on_from(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Mock(monotonic=Mock(return_value=-math.inf))

    def last_of_the_night(task: Task) -> dict[str, JSON]:
        clock.monotonic.return_value = math.inf
        return logits(task)

    fake_kinds(monkeypatch, logits=last_of_the_night)
    monkeypatch.setattr(scheduler, "time", clock)
    code, told = night("--select", "one", "--max-hours", "1", "--keep", "final")
    assert (code, told["state"]) == (0, "left")
    kept = {one.label for one in artifacts()}
    assert {"convert one to F16", "perplexity of one F16"} <= kept

    fake_kinds(monkeypatch)
    clock.monotonic.return_value = -math.inf
    code, told = night("--select", "one", "--keep", "final")

    assert (code, told["state"]) == (0, "ok")
    [run] = recorded_history().runs("one", night=2)
    done = {step.label for step in recorded_history().steps(run.id) if step.outcome == "done"}
    assert done.isdisjoint(kept)
    assert "perplexity of one F16" not in {one.label for one in artifacts()}


@pytest.mark.usefixtures("fakes")
def test_a_short_night_begins_with_what_waited_longest(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night("--select", "one")
    begun: list[str] = []

    def converted(task: Task) -> dict[str, JSON]:
        begun.append(task.step.label)
        return written(task)

    fake_kinds(monkeypatch, convert=converted)
    forget("convert", "quantize")
    night("-j", "1")

    assert begun[0].startswith("convert two")


@pytest.mark.usefixtures("fakes")
def test_two_nights_in_one_store_are_refused(orchestrate: Command, recipes: Path) -> None:
    with Locks(Path(os.environ["ORCHESTRATE_HOME"]) / "locks").at_once("nightly") as holder:
        assert holder == ""
        said = orchestrate("nightly", recipes)

    assert said.code == 3
    assert f"another night works in the store {os.environ['ORCHESTRATE_HOME']}: process" in said.err
    assert recorded_history().nights() == []


def test_made_again_and_other_bytes_is_an_alarm(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch)
    night()
    code, told = night("--rebuild")
    assert (code, told["recipes"]["one"]["rebuilt"], told["recipes"]["one"]["alarms"]) == (
        0,
        True,
        [],
    )
    assert any(row["fresh"] for row in told["recipes"]["one"]["files"])

    def drifted(task: Task) -> dict[str, JSON]:
        facts = written(task)
        if "one to Q4_0" in task.step.label:
            (task.workdir / task.step.params["file"]).write_text("other bytes")
        return facts

    fake_kinds(monkeypatch, quantize=drifted)
    code, told = night("--rebuild")

    assert code == 1
    [alarm] = told["recipes"]["one"]["alarms"]
    assert (alarm["what"], alarm["file"]) == ("rebuild", "one-Q4_0.gguf")
    assert told["recipes"]["two"]["state"] == "ok"


def test_a_file_whose_request_changed_raises_no_alarm(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_options(task: Task) -> dict[str, JSON]:
        facts = written(task)
        (task.workdir / task.step.params["file"]).write_text(
            json.dumps(dict(task.step.params), default=str)
        )
        return facts

    fake_kinds(monkeypatch, quantize=by_options)
    night()
    text = (recipes / "one.yaml").read_text()
    assert "- Q4_0\n" in text
    (recipes / "one.yaml").write_text(text.replace("- Q4_0\n", "- {type: Q4_0, pure: true}\n"))

    code, told = night()

    assert code == 0
    one = told["recipes"]["one"]
    assert {row["file"]: row["verdict"] for row in one["files"]}["one-Q4_0.gguf"] == "different"
    assert any("the recipe asks for another file than in night 1" in note for note in one["notes"])


@pytest.mark.usefixtures("fakes")
def test_the_store_is_kept_small_without_what_the_night_needs(night: Night, recipes: Path) -> None:
    night()
    (recipes / "two.yaml").unlink()
    before = {one.label for one in artifacts()}
    assert any("two" in label for label in before)

    code, told = night("--max-store", "1K")

    assert (code, told["recipes"]["one"]["state"]) == (0, "ok")
    left = {one.label for one in artifacts()}
    assert left == {label for label in before if "two" not in label}
    assert told["collected"] == len(before - left) > 0


@pytest.mark.usefixtures("fakes")
def test_a_recipe_that_would_not_fit_the_store_is_refused_alone(night: Night) -> None:
    code, told = night("--max-store", "2M")

    assert code == 3
    assert "beyond --max-store 2.00 MB" in told["recipes"]["one"]["error"]
