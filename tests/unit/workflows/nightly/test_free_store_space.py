"""``--max-store`` in a real store: what goes, in which order, and what stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.base.step_values import JSON, Task
from orchestrator.engine.artifact import USED
from orchestrator.sources import git
from tests.support.command_line import Command
from tests.support.fake_steps import fake_kinds, written
from tests.support.nights import Night, add, artifacts, forget

MIB = 1 << 20


def large(task: Task) -> dict[str, JSON]:
    """A file of one MiB."""
    facts = written(task)
    with (task.workdir / task.step.params["file"]).open("ab") as file:
        file.write(task.step.label.encode().ljust(MIB, b"x"))
    return facts


def of(name: str) -> set[str]:
    """Labels of what is stored of a recipe."""
    return {one.label for one in artifacts() if f" {name} " in f" {one.label} "}


def used_at(name: str, moment: float) -> None:
    for one in artifacts():
        if f" {name} " in f" {one.label} ":
            os.utime(one.path.parent / USED, (moment, moment))


def test_the_least_recently_used_goes_first_and_no_more_than_needed(
    night: Night, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch, quantize=large)
    add(recipes, "three", "name: one", "name: one")
    night()
    used_at("two", 2000)
    used_at("three", 1000)
    for name in ("two", "three"):
        (recipes / f"{name}.yaml").unlink()
    total = sum(one.size for one in artifacts())

    code, told = night("--max-store", str(total - MIB - 1))

    assert code == 0
    gone = [label for label in of("one") | of("two") if "three" in label]
    assert gone == []
    # All have one source, whose tensors were accounted for once, under the first one's name.
    own = {label for label in of("one") if not label.startswith("account for")}
    assert len(of("two")) == len(own)
    assert len(of("three")) < len(own)
    assert total - 2 * MIB - 100_000 < told["store_bytes"] < total - MIB


def test_files_that_the_last_good_night_is_compared_by_stay(
    night: Night, orchestrate: Command, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch, quantize=large)
    commits = iter(("a" * 40, "b" * 40, "c" * 40))
    monkeypatch.setattr(git, "resolve", lambda *_: next(commits))
    moving = "toolchain: {name: llama.cpp, commit: main}"
    add(recipes, "moving", "toolchain: llama.cpp", moving)
    for name in ("one", "two"):
        (recipes / f"{name}.yaml").unlink()
    night()

    def other(task: Task) -> dict[str, JSON]:
        facts = large(task)
        with (task.workdir / task.step.params["file"]).open("ab") as file:
            file.write(b"other bytes")
        return facts

    fake_kinds(monkeypatch, quantize=other)
    for _ in range(2):
        code, told = night("--max-store", "10G", "--keep", "final")
        assert (code, told["recipes"]["moving"]["good"]) == (1, 1)
    quantized = [one for one in artifacts() if one.label.startswith("quantize")]
    assert len(quantized) == 12

    tight = sum(one.size for one in artifacts()) - 3 * MIB
    monkeypatch.setattr(git, "resolve", lambda *_: "c" * 40)
    code, told = night("--max-store", str(tight))

    assert code == 1
    notes = [row["note"] for row in told["recipes"]["moving"]["files"]]
    assert not any("no longer stored" in note for note in notes)
    left = [one for one in artifacts() if one.label.startswith("quantize")]
    assert 8 <= len(left) < 12


def test_a_limit_below_what_is_needed_is_said_as_that(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch, quantize=large)
    night("--keep", "all")
    forget("measure one Q4_0")

    code, told = night("--max-store", "1M")

    assert code == 3
    assert (
        " in the store are needed tonight, more than --max-store 1.00 MB"
        in (told["recipes"]["one"]["error"])
    )
    assert told["recipes"]["two"]["state"] == "ok"  # it has all it needs
