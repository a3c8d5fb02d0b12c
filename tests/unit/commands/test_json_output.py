"""``--json``: one JSON value alone on standard output, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from tests.support.command_line import Command, Said, without_checksums
from tests.support.fake_steps import RECIPE, fails_for, fake_kinds
from tests.support.model_files import GGUFSpec, gguf_bytes


def value(said: Said, code: int = 0) -> Any:
    assert said.code == code, said
    return json.loads(said.out)


@pytest.mark.usefixtures("fakes")
def test_a_run_tells_its_files(orchestrate: Command) -> None:
    said = orchestrate("run", without_checksums(), "--json")

    [told] = value(said)
    assert (told["name"], told["status"]) == ("tiny-llama", "pass")
    assert told["folder"] == str(Path("dist/tiny-llama"))
    files = {one["file"]: one for one in told["files"]}
    assert files["tiny-llama-Q4_0.gguf"]["status"] == "pass"
    assert "✓ convert tiny-llama to F16" in said.err

    [again] = value(orchestrate("verify", "recipe.yaml", "--json"))
    assert {one["file"] for one in again["files"]} == set(files)


def test_a_run_that_fails_tells_what_was_made_and_says_why(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = StepError("the tool broke", "Mend the tool.")
    fake_kinds(monkeypatch, quantize=fails_for("tiny-llama", broken))

    said = orchestrate("run", without_checksums(), "--json")

    [told] = value(said, 1)
    assert "tiny-llama-Q4_0.gguf" not in {one["file"] for one in told["files"]}
    assert "error: quantize tiny-llama to Q4_0 failed: the tool broke" in said.err


@pytest.mark.usefixtures("fakes")
def test_files_are_checked_one_by_one(orchestrate: Command) -> None:
    Path("a.gguf").write_bytes(gguf_bytes(GGUFSpec()))

    told = value(orchestrate("verify", "a.gguf", "--json"))

    assert told["status"] == "pass"
    assert {check["status"] for check in told["files"][0]["checks"]} <= {"pass", "skip"}


def test_recipes_are_checked(orchestrate: Command) -> None:
    sound = value(orchestrate("check", RECIPE, "--json"))
    assert [one["name"] for one in sound["recipes"]] == ["tiny-llama"]
    assert sound["problems"] == []

    Path("a.yaml").write_text("name: a\nfamily: No Sense\n")
    said = orchestrate("check", "a.yaml", RECIPE, "--json")
    places = {(one["recipe"], one["line"], *one["key"]) for one in value(said, 2)["problems"]}
    assert ("a.yaml", 2, "family") in places
    assert "error: a.yaml:" in said.err


@pytest.mark.usefixtures("fakes")
def test_tools_and_stored_steps_are_told(orchestrate: Command) -> None:
    built = value(orchestrate("toolchain", "build", "llama.cpp", "--json"))
    assert [one["outcome"] for one in built] == ["done", "done"]
    assert all(Path(one["path"]).is_dir() for one in built)

    key = built[0]["key"]
    assert value(orchestrate("store", "path", key, "--json"))["path"] == built[0]["path"]
    assert value(orchestrate("store", "verify", "--json")) == {"read": 2, "damaged": []}
    removed = value(orchestrate("store", "gc", "--max-size", "0B", "--json"))["removed"]
    assert {one["label"] for one in removed} <= {one["label"] for one in built}


@pytest.mark.usefixtures("fakes")
def test_damage_is_told(orchestrate: Command) -> None:
    orchestrate("run", RECIPE, "--no-limits")
    listed = value(orchestrate("store", "ls", "--json"))
    [key] = [one["key"] for one in listed if one["kind"] == "convert"]
    file = Path(value(orchestrate("store", "path", key, "--json"))["path"]) / "model.gguf"
    file.chmod(0o644)
    file.write_text("Convert tiny-llama to F16")

    said = orchestrate("store", "verify", "--json")

    assert [one["key"] for one in value(said, 1)["damaged"]] == [key]
    assert "warning: " in said.err


@pytest.mark.usefixtures("fakes")
def test_locks_are_told(orchestrate: Command) -> None:
    recipe = without_checksums()

    said = orchestrate("lock", recipe, "--offline", "--json")

    told = {"name": "tiny-llama", "recipe": "recipe.yaml", "lock": "recipe.lock.yaml"}
    assert value(said) == [told]
    assert Path("recipe.lock.yaml").is_file()
    assert "is not made yet" in said.err


@pytest.mark.usefixtures("fakes")
def test_provenance_is_told(orchestrate: Command) -> None:
    orchestrate("run", without_checksums())
    file = Path("dist/tiny-llama/tiny-llama-Q8_0.gguf")

    told = value(orchestrate("verify-provenance", file, "--json"))
    assert told["sound"] is True
    assert {one["check"] for one in told["checks"]} == {"signature", "digest"}

    file.unlink()
    file.write_text("another")
    assert value(orchestrate("verify-provenance", file, "--json"), 1)["sound"] is False


def test_the_machine_is_told(orchestrate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.workflows import doctor

    found = [doctor.Finding("git", False, "none", "Install git.")]
    monkeypatch.setattr(doctor, "examine", lambda _root: found)

    told = value(orchestrate("doctor", "--json"), 3)

    assert told["sound"] is False
    assert told["findings"][0]["advice"] == "Install git."


@pytest.mark.parametrize(
    "arguments",
    [["run", "none.yaml"], ["store", "path", "zzz"], ["toolchain", "build", "nonsense"]],
)
def test_an_error_is_a_sentence_on_standard_error(
    orchestrate: Command, arguments: list[str]
) -> None:
    said = orchestrate(*arguments, "--json")

    assert (said.code, said.out) == (2, "")
    assert "error: " in said.err
