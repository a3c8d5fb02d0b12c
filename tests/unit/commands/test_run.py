"""The exit code of each kind of end of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base import machine_info
from orchestrator.base.errors import EnvironmentProblem, Interrupted, StepError
from orchestrator.base.step_values import JSON, Task
from tests.support.command_line import Command, without_checksums
from tests.support.fake_steps import (
    RECIPE,
    ROOT,
    fails_for,
    fake_kinds,
    forecast,
    imatrix,
    measured_but,
    written,
)
from tests.support.nights import artifacts, forget


@pytest.mark.usefixtures("fakes")
def test_a_run_makes_files_and_says_so(orchestrate: Command) -> None:
    said = orchestrate("run", RECIPE, "--no-limits", "--log-json", "log.json")

    assert said.code == 0, said
    assert "tiny-llama: " in said.out
    assert "Q4_K_M" in said.out
    made = {path.name for path in Path("dist/tiny-llama").iterdir()}
    assert {"tiny-llama-Q4_0.gguf", "SHA256SUMS", "report.json", "report.md"} <= made
    assert "report.html" in made
    events = [json.loads(line) for line in Path("log.json").read_text().splitlines()]
    assert {"started", "finished"} == {event["event"] for event in events}
    assert "✓ convert tiny-llama to F16" in said.err

    again = orchestrate("run", RECIPE, "--no-limits")

    assert again.code == 0
    assert "✓" not in again.err
    verbose = orchestrate("run", RECIPE, "--no-limits", "-v")
    assert "· quantize tiny-llama to Q4_0  up to date" in verbose.err


def test_gc_in_another_process_takes_nothing_that_a_run_needs(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def collected(task: Task) -> dict[str, JSON]:
        argv = [sys.executable, "-m", "orchestrator", "store", "gc", "--max-size", "0"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
        said.append(done.stdout + done.stderr)
        return imatrix(task)

    fake_kinds(monkeypatch)
    assert orchestrate("run", RECIPE, "--no-limits").code == 0
    forget("importance", "quantize", "measure")
    fake_kinds(monkeypatch, imatrix=collected)

    again = orchestrate("run", RECIPE, "--no-limits")

    assert said
    assert again.code == 0, again
    assert "damage" not in again.err + said[0]
    done = {line for line in again.err.splitlines() if line.startswith("✓")}
    assert not any("convert" in line or "build" in line for line in done)
    assert "✓ quantize tiny-llama to Q4_0" in again.err


@pytest.mark.usefixtures("fakes")
def test_a_checksum_that_is_not_kept_is_1(orchestrate: Command) -> None:
    said = orchestrate("run", RECIPE)

    assert said.code == 1
    assert "failed: " in said.out
    assert "the recipe states" in said.out


def test_a_limit_that_is_not_kept_is_1(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch, measure=measured_but("kld", mean=1.0))
    recipe = without_checksums()

    said = orchestrate("run", recipe)

    assert said.code == 1
    assert "failed: tiny-llama-Q4_0.gguf, tiny-llama-Q4_K_M.gguf" in said.out


@pytest.mark.usefixtures("fakes")
def test_every_limit_kept_is_0(orchestrate: Command) -> None:
    said = orchestrate("run", without_checksums())

    assert said.code == 0, said.out + said.err
    assert "tiny-llama: ok" in said.out


def test_a_failing_step_is_1_and_the_others_are_made(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = StepError("the tool broke", "Mend the tool.")
    fake_kinds(monkeypatch, quantize=fails_for("tiny-llama", broken))

    said = orchestrate("run", without_checksums())

    assert said.code == 1
    assert "quantize tiny-llama to Q4_0 failed: the tool broke" in said.out + said.err
    assert "Mend the tool." in said.out + said.err
    made = {path.name for path in Path("dist/tiny-llama").iterdir()}
    assert "tiny-llama-Q8_0.gguf" in made
    assert "tiny-llama-Q4_0.gguf" not in made


@pytest.mark.parametrize("kind", ["build", "convert"])
def test_a_lacking_machine_is_3(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def lacks(_task: Task) -> dict[str, JSON]:
        raise EnvironmentProblem("no C++ compiler was found", "Install one.")

    fake_kinds(monkeypatch, **{kind: lacks})

    said = orchestrate("run", without_checksums())

    assert said.code == 3
    assert "no C++ compiler was found" in said.out + said.err
    assert "Install one." in said.out + said.err


@pytest.mark.usefixtures("fakes")
def test_a_short_disk_is_3_before_any_file_is_made(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_info, "disk_free", lambda _: 1000)

    said = orchestrate("run", without_checksums())

    assert said.code == 3
    assert "of disk are needed at the peak" in said.err
    assert "…" not in said.err  # no step was begun, not even the build


def test_fallbacks_are_1_before_weights_are_touched(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def falls(task: Task) -> dict[str, JSON]:
        facts = forecast(task)
        one = {"tensor": "t", "columns": "7", "wanted": "q4_K", "got": "q5_0"}
        facts["outputs"]["Q4_K_M"] = {**facts["outputs"]["Q4_K_M"], "fallbacks": [one]}
        return facts

    fake_kinds(monkeypatch, forecast=falls)

    said = orchestrate("run", without_checksums())

    assert said.code == 1
    assert "allow_fallback: true" in said.out + said.err
    assert not Path("dist").exists()


def test_an_interruption_is_130(orchestrate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_task: Task) -> dict[str, JSON]:
        raise Interrupted("interrupted", "Run again.")

    fake_kinds(monkeypatch, convert=stopped)

    assert orchestrate("run", without_checksums()).code == 130


def test_a_bug_is_1_with_a_file_to_send(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def bug(_task: Task) -> dict[str, JSON]:
        raise ZeroDivisionError

    fake_kinds(monkeypatch, convert=bug)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    said = orchestrate("run", without_checksums())

    assert said.code == 1
    assert "bug: ZeroDivisionError" in said.err
    [file] = tmp_path.glob("orchestrate-bug-*.txt")
    assert str(file) in said.err


def test_what_the_system_refuses_is_3(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("occupied").write_text("")
    monkeypatch.setenv("ORCHESTRATE_HOME", str(Path("occupied").absolute() / "store"))
    fake_kinds(monkeypatch)

    said = orchestrate("run", without_checksums())

    assert said.code == 3
    assert "occupied" in said.err


@pytest.mark.usefixtures("fakes")
def test_events_without_a_place_are_2(orchestrate: Command) -> None:
    said = orchestrate("run", RECIPE, "--log-json", "no/such/folder/log")

    assert said.code == 2
    assert "--log-json" in said.err


@pytest.mark.usefixtures("fakes")
def test_only_one_file(orchestrate: Command) -> None:
    said = orchestrate("run", without_checksums(), "--only", "q8_0")

    assert said.code == 0
    made = {path.suffix: path.name for path in Path("dist/tiny-llama").iterdir()}
    assert made[".gguf"] == "tiny-llama-Q8_0.gguf"
    assert orchestrate("run", RECIPE, "--only", "Q2_K").code == 2


@pytest.mark.usefixtures("fakes")
def test_without_measuring(orchestrate: Command) -> None:
    said = orchestrate("run", without_checksums(), "--no-verify")

    assert said.code == 0, said
    assert "measure" not in said.err
    assert Path("dist/tiny-llama/tiny-llama-Q4_0.gguf").is_file()


@pytest.mark.usefixtures("fakes")
def test_only_one_file_leaves_the_others_and_what_stands_beside_them(orchestrate: Command) -> None:
    recipe = without_checksums()
    orchestrate("run", recipe)
    folder = Path("dist/tiny-llama")
    before = {path.name for path in folder.iterdir()}

    assert orchestrate("run", recipe, "--only", "q8_0").code == 0

    assert {path.name for path in folder.iterdir()} == before
    assert {"tiny-llama-Q4_0.gguf", "tiny-llama-Q4_0.gguf.provenance.json"} <= before


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        ((), {"convert", "logits"}),
        (("--keep", "all"), {"convert", "logits"}),
        (("--keep", "f16"), {"convert", "logits"}),
        (("--keep", "f16", "--keep-logits", "0"), {"convert"}),
        (("--keep", "final"), set()),
    ],
)
@pytest.mark.usefixtures("fakes")
def test_intermediate_files_that_stay_in_the_store(
    orchestrate: Command, chosen: tuple[str, ...], kept: set[str]
) -> None:
    orchestrate("run", without_checksums(), *chosen)

    assert {one.kind for one in artifacts()} & {"convert", "logits"} == kept


UNREACHABLE = """\
name: far
family: llama
toolchain: llama.cpp
model: {hub: org/model, revision: main}
quantize: [Q4_0]
"""


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_recipe_whose_hub_does_not_answer_stops_no_other_one(
    orchestrate: Command, pauses: list[float], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    far = Path("far.yaml")
    far.write_text(UNREACHABLE)

    said = orchestrate(command, far, RECIPE)

    assert said.code == 3
    assert "tiny-llama" in said.out
    assert (command == "plan") != Path("dist/tiny-llama/SHA256SUMS").is_file()
    assert f"{far}: model: The Hub at http://127.0.0.1:1 cannot be reached" in said.err

    alone = orchestrate(command, far)
    assert (alone.code, alone.out) == (3, "")
    assert f"{far}: model: The Hub at" in alone.err


@pytest.mark.usefixtures("fakes")
def test_speeds_are_taken_anew_in_one_go_and_nothing_else(orchestrate: Command) -> None:
    recipe = without_checksums()
    orchestrate("run", recipe)
    keys = {one.key for one in artifacts()}

    said = orchestrate("run", recipe, "--measure-again", "speed")

    assert said.code == 0
    done = [line for line in said.err.splitlines() if line.startswith("✓")]
    assert len(done) > 3
    assert all(": speed" in line for line in done)
    assert {one.key for one in artifacts()} == keys
    assert "to do" not in orchestrate("plan", recipe).out


@pytest.mark.usefixtures("fakes")
def test_a_measure_that_is_not_there_is_2_before_any_work(orchestrate: Command) -> None:
    said = orchestrate("run", without_checksums(), "--measure-again", "sped")

    assert said.code == 2
    assert "there is no measure 'sped'; did you mean 'speed'?" in said.err
    assert not any(one.kind == "quantize" for one in artifacts())


@pytest.mark.usefixtures("fakes")
def test_a_report_says_when_and_where_speeds_were_measured_and_that_they_are_mixed(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = without_checksums()
    orchestrate("run", recipe)
    here = machine_info.describe()
    text = Path("dist/tiny-llama/report.md").read_text()
    assert f"on machine {machine_info.identity()} (" in text
    assert "do not compare" not in text
    forget("measure tiny-llama Q4_0: speed")
    monkeypatch.setattr(machine_info, "describe", lambda: replace(here, processor="another one"))

    said = orchestrate("run", recipe)

    assert "do not compare: " in said.out
    assert "'orchestrate run --measure-again NAME' measures one of these" in said.out
    assert "(another one, " in Path("dist/tiny-llama/report.md").read_text()
    assert "(another one, " in Path("dist/tiny-llama/report.html").read_text()
    told = json.loads(Path("dist/tiny-llama/report.json").read_text())
    [speed] = [one["taken"]["speed"] for one in told["files"] if one["type"] == "Q4_0"]
    assert speed["processor"] == "another one"
    assert speed["date"].endswith("+00:00")


def accepts_constants(task: Task) -> dict[str, JSON]:
    """Quantizing that finds a matrix of one value, which only stand-in models may have."""
    if not task.step.context["stand_in"]:
        raise StepError(f"{task.step.label}: blk.0.ffn_up.weight holds zeros only")
    return {**written(task), "constant": ["blk.0.ffn_up.weight"]}


@pytest.mark.parametrize("measured", [(), ("--no-verify",)])
@pytest.mark.usefixtures("fakes")
def test_what_only_a_run_without_limits_accepts_fails_though_it_is_in_the_store(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch, measured: tuple[str, ...]
) -> None:
    fake_kinds(monkeypatch, quantize=accepts_constants)
    recipe = without_checksums()
    assert orchestrate("run", recipe, "--no-limits", *measured).code == 0

    said = orchestrate("run", recipe, *measured)

    assert said.code == 1
    assert "tiny-llama: failed" in said.out
    assert "matrix of one value, such as blk.0.ffn_up.weight" in said.out
