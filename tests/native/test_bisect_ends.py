"""Searches in upstreams as they are: branches, tags, merges, bare servers, and poor machines."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from orchestrator.base.process import run_process
from orchestrator.sources.git_messages import Commit
from orchestrator.workflows import bisect_upstream
from tests.hub import Fault, Hub, Repo
from tests.standin import models
from tests.support.moving_upstream import PLANTED, Moving
from tests.support.shims import only
from tests.support.typed_commands import artifacts, typed


def words(number: int) -> tuple[str, str, str]:
    """A change that no file shows."""
    before = "none" + " again" * (number - 1) if number > 1 else "none"
    return ("LICENSE", before, "none" + " again" * number)


def merged(moving: Moving) -> tuple[str, str]:
    """A good commit, then a branch with a planted change that was merged: good and planted."""
    good, git = moving.commit("good"), moving.repo.git
    git.tag("-a", "v1", "-m", "the first")
    git.checkout("-q", "-b", "side")
    planted = moving.commit("take another scale", PLANTED)
    moving.commit("on the side")
    git.checkout("-q", "main")
    moving.commit("words", words(1))
    git.merge("-q", "--no-ff", "-m", "merge the side", "side")
    moving.commit("more words", words(2))
    return good, planted


def test_a_change_on_a_merged_branch_is_found_between_a_tag_and_a_branch(moving: Moving) -> None:
    good, planted = merged(moving)

    code, out, _ = moving.bisect("v1", "main")

    assert code == 0, out
    assert f"{planted} changes the bytes of" in out

    Path(str(moving.repo.working_dir)).rename("gone")
    code, out, err = moving.bisect(good[:8], "main", "--offline")

    assert (code, planted in out) == (0, True), err
    assert "✓ build" not in err


def test_a_server_that_sends_no_part_of_a_history_sends_all_of_it(moving: Moving) -> None:
    with moving.repo.config_writer() as config:
        config.set_value("uploadpack", "allowFilter", "false")
    good = moving.commit("good")
    planted = moving.commit("take another scale", PLANTED)

    code, out, _ = moving.bisect(good, "main")

    assert (code, planted in out) == (0, True)


def test_offline_without_a_stored_history_is_said(moving: Moving) -> None:
    good = moving.commit("good")

    code, _, err = moving.bisect(good, "main", "--offline")

    assert (code, "is not stored here" in err) == (3, True)


def test_ends_that_are_one_or_not_on_one_line_are_refused(moving: Moving) -> None:
    good = moving.commit("good")
    moving.repo.git.tag("v1")

    code, _, err = moving.bisect("v1", good)

    assert (code, "--good and --bad are the same commit" in err) == (2, True)


def test_an_interrupted_search_goes_on_where_it_was(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = moving.commit("good")
    for number in (1, 2):
        moving.commit("words", words(number))
    planted = moving.commit("take another scale", PLANTED)
    moving.commit("more words", words(3))
    told: list[bisect_upstream.Tried] = []
    line = bisect_upstream._line

    def and_ctrl_c(one: bisect_upstream.Tried) -> str:
        told.append(one)
        if len(told) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return line(one)

    with monkeypatch.context() as patch:
        patch.setattr(bisect_upstream, "_line", and_ctrl_c)
        code, out, err = moving.bisect(good, "main")
        run_process.resume()
    assert (code, out) == (130, "")
    assert "interrupted" in err
    built = err.count("✓ build")

    code, out, err = moving.bisect(good, "main")

    assert (code, planted in out) == (0, True)
    assert built == 3
    assert err.count("✓ build") == 1


@pytest.mark.parametrize("compiler", ["", "echo Killed signal terminated program cc1plus >&2"])
def test_no_compiler_and_no_memory_are_no_commits_fault(
    moving: Moving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    good, bad = moving.commit("good"), moving.commit("take another scale", PLANTED)
    path = only(tmp_path / "bin", "git", "make", "sh", "uname")
    for name in ("cc", "c++", "gcc", "g++") if compiler else ():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{compiler}\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", path)
        code, out, err = moving.bisect(good, bad)

    assert (code, out) == (3, ""), err
    assert ("no C++ compiler was found" in err) == (not compiler)
    assert ("run out of memory" in err) == bool(compiler)
    assert moving.bisect(good, bad)[0] == 0


@pytest.fixture
def hub(moving: Moving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The recipe's model is on a Hub, on a branch that moves."""
    served = shutil.copytree(models.TINY / "bloom", tmp_path / "served")
    recipe = yaml.safe_load(moving.recipe.read_text("utf-8"))
    recipe["model"] = {"hub": "org/bloom", "revision": "main"}
    moving.recipe.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    with Hub({"org/bloom": Repo(served, "1" * 40)}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.mark.parametrize("locked", [False, True])
def test_a_model_that_moves_during_a_search_is_not_blamed_on_upstream(
    moving: Moving, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, locked: bool
) -> None:
    good = moving.commit("good")
    moving.commit("words", words(1))
    moving.commit("more words", words(2))
    planted = moving.commit("take another scale", PLANTED)
    repo = hub.repos["models"]["org/bloom"]
    if locked:
        assert typed("lock", moving.recipe).code == 0
        hub.repos["models"]["org/bloom"] = Repo(repo.folder, "1" * 40, branches=())
    made = bisect_upstream._Maker.make

    def and_then_it_moves(self: bisect_upstream._Maker, commit: Commit) -> bisect_upstream.Tried:
        found = made(self, commit)
        hub.repos["models"]["org/bloom"] = Repo(repo.folder, "2" * 40)
        return found

    monkeypatch.setattr(bisect_upstream._Maker, "make", and_then_it_moves)

    code, out, err = moving.bisect(good, "main")

    assert (code, planted in out) == (0, True), err
    [fetched] = artifacts(tmp_path / "store")["fetch"]
    assert '"commit": "1111111111' in (fetched / "manifest.json").read_text("utf-8")


def test_a_model_that_cannot_be_had_is_no_commits_fault(moving: Moving, hub: Hub) -> None:
    good, bad = moving.commit("good"), moving.commit("take another scale", PLANTED)
    for _ in range(2):
        hub.fault("config.json", Fault("status", times=9, status=404, method="*"))

    code, out, err = moving.bisect(good, bad)

    assert out == ""
    assert code != 0
    assert "does not make the file" not in err
    assert "fetch org/bloom" in err
