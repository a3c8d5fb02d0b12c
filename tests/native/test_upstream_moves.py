"""Nights on a branch of upstream that moves, and the search for the commit that changed bytes.

The upstream is a stand-in in a git repository of its own, built for real.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.sources import git
from tests.support.moving_upstream import BROKEN, FIXED, PLANTED, Moving, moving
from tests.support.shims import only
from tests.support.typed_commands import Said, typed

__all__ = ["moving"]


def test_the_commit_that_changed_the_bytes_is_found_past_one_that_cannot_be_built(
    moving: Moving,
) -> None:
    good = moving.commit("good")
    moving.commit("words only", ("LICENSE", "none", "still none"))
    moving.commit("a broken build", BROKEN)
    moving.commit("fix it", FIXED)
    planted = moving.commit("take another scale", PLANTED)
    bad = moving.commit("more words", ("LICENSE", "still none", "none again"))

    code, out, err = moving.bisect(good, bad, "--json")

    found = json.loads(out)
    assert code == 0
    assert [one["id"] for one in found["candidates"]] == [planted]
    assert found["candidates"][0]["subject"] == "take another scale"
    assert not found["broke"]
    assert found["good"]["sha256"] != found["bad"]["sha256"]
    assert err.count("build standin") >= 3

    code, out, err = moving.bisect(good[:10], "main")

    assert (code, planted in out, "take another scale" in out) == (0, True, True)
    # Every commit that builds was built once; only one that cannot be is tried again.
    assert err.count("✓ build") == 0


def test_the_commit_that_broke_the_making_is_found(moving: Moving) -> None:
    good = moving.commit("good")
    moving.commit("other bytes are not what is searched for", PLANTED)
    broke = moving.commit("break it", BROKEN)
    bad = moving.commit("still broken")

    code, out, _ = moving.bisect(good, bad)

    assert code == 0
    assert f"{broke} breaks" in out
    assert "no-such-header" in out


def test_commits_that_cannot_be_built_can_hide_it_and_all_are_named(moving: Moving) -> None:
    good = moving.commit("good")
    first = moving.commit("break it", BROKEN)
    second = moving.commit("fix it, and more", FIXED, PLANTED)

    code, out, _ = moving.bisect(good, second)

    assert code == 1
    assert "One of these commits changes the bytes" in out
    assert first in out
    assert second in out


def test_what_makes_no_search_is_refused(moving: Moving) -> None:
    good, same = moving.commit("good"), moving.commit("words", ("LICENSE", "none", "no"))

    assert "make the same bytes" in moving.bisect(good, same)[2]
    assert "is not an ancestor" in moving.bisect(same, good)[2]
    assert "is no commit" in moving.bisect("nothing", same)[2]
    two = typed("bisect", moving.recipe, "--good", good, "--bad", same)
    assert (two.code, "bisect searches for one file" in two.err) == (2, True)
    broken = moving.commit("break it", BROKEN)
    assert "does not make the file" in moving.bisect(broken, moving.commit("more"))[2]


def test_a_night_after_upstream_moved_raises_an_alarm_until_the_change_is_accepted(
    moving: Moving,
) -> None:
    def night(*more: str) -> tuple[int, dict[str, Any]]:
        said = typed("nightly", moving.recipe, "-t", "1", "--json", *more)
        [told] = json.loads(said.out)["recipes"]
        return said.code, told

    before = str(moving.repo.head.commit.hexsha)
    assert night()[0] == 0
    moving.commit("words only", ("LICENSE", "none", "still none"))
    code, told = night()
    assert (code, told["state"], told["alarms"]) == (0, "ok", [])
    last_good = told["commit"]
    after = moving.commit("take another scale", PLANTED)

    said = typed("nightly", moving.recipe, "-t", "1")

    assert said.code == 1
    assert f"between standin {str(last_good)[:12]} and {after[:12]}" in said.out
    assert f"--only Q4_0 --good {str(last_good)[:12]} --bad {after[:12]}" in said.out
    code, told = night()
    assert (code, told["state"], told["good"]) == (1, "alarm", 2)
    assert told["before"] == last_good != before
    [alarm] = told["alarms"]
    assert (alarm["what"], alarm["limit"]) == ("bytes", "identical")

    assert typed("accept", "test-bloom").code == 0
    code, told = night()
    assert (code, told["state"], told["good"]) == (0, "ok", 4)


def test_a_night_whose_newest_commit_cannot_be_built_takes_the_last_that_could(
    moving: Moving,
) -> None:
    def night(*more: str) -> tuple[Said, dict[str, Any]]:
        said = typed("nightly", moving.recipe, "-t", "1", "--json", *more)
        [told] = json.loads(said.out)["recipes"]
        return said, told

    broken = moving.commit("break it", BROKEN)
    said, told = night()
    assert (said.code, told["state"], told["alarms"]) == (1, "failed", [])  # nothing to go back to
    assert "quantize.cpp:" in told["error"]

    good = moving.commit("fix it", FIXED)
    said, told = night()
    assert (said.code, told["state"], told["commit"]) == (0, "ok", good)

    broken = moving.commit("break it again", BROKEN)
    said, told = night()

    assert (said.code, told["state"], told["error"]) == (1, "alarm", ""), said.all
    assert (told["commit"], told["good"], told["made"]) == (good, 2, 0)
    [alarm] = told["alarms"]
    assert (alarm["what"], alarm["before"], alarm["after"]) == ("upstream", good, broken)
    assert f"upstream changed: {broken[:12]} cannot be built" in alarm["message"]
    assert "quantize.cpp:" in alarm["message"]
    assert "fatal error: no-such-header: No such file or directory" in alarm["message"]
    assert {row["verdict"] for row in told["files"]} == {"identical"}
    [note] = told["notes"]
    assert "no-such-header" in Path(note.rpartition(": ")[2]).read_text("utf-8")

    said = typed("nightly", moving.recipe, "-t", "1", "--site", "site")

    line = f"bisect {moving.recipe} --only Q4_0 --good {good[:12]} --bad {broken[:12]}"
    assert line in said.out
    assert "orchestrate accept" not in said.out
    assert f"upstream changed: {broken[:12]}" in Path("site/index.html").read_text("utf-8")
    code, out, _ = moving.bisect(good[:12], broken[:12])
    assert (code, f"{broken} breaks" in out, "no-such-header" in out) == (0, True, True)

    moving.commit("and mend it", FIXED, PLANTED)
    said, told = night()
    assert (said.code, told["state"], told["good"]) == (1, "alarm", 2)
    assert [one["what"] for one in told["alarms"]] == ["bytes"]


def test_a_commit_that_somebody_wrote_is_made_with_no_other(moving: Moving) -> None:
    assert typed("nightly", moving.recipe, "-t", "1").code == 0
    broken = moving.commit("break it", BROKEN)
    text = moving.recipe.read_text("utf-8")
    moving.recipe.write_text(text.replace("commit: main", f"commit: {broken}"), "utf-8")

    said = typed("nightly", moving.recipe, "-t", "1", "--json")

    [told] = json.loads(said.out)["recipes"]
    assert (said.code, told["state"], told["commit"]) == (1, "failed", broken)
    assert "upstream changed" not in said.all


def test_a_machine_without_a_compiler_is_not_upstreams_fault(
    moving: Moving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed("nightly", moving.recipe, "-t", "1").code == 0
    moving.commit("words only", ("LICENSE", "none", "still none"))
    monkeypatch.setenv("PATH", only(tmp_path / "bin", "git", "make", "sh", "uname"))

    said = typed("nightly", moving.recipe, "-t", "1", "--json")

    [told] = json.loads(said.out)["recipes"]
    assert (said.code, told["state"], told["alarms"]) == (3, "environment", [])
    assert "no C++ compiler was found" in told["error"]


def test_recipes_of_one_night_mean_the_same_commit(
    moving: Moving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = git.resolve
    first = moving.repo.head.commit.hexsha

    def and_then_somebody_pushes(url: str, revision: str) -> str:
        found = resolve(url, revision)
        moving.commit("words", ("LICENSE", "none", "none at all, none"))
        return found

    monkeypatch.setattr(git, "resolve", and_then_somebody_pushes)
    text = moving.recipe.read_text("utf-8")
    (tmp_path / "other.yaml").write_text(text.replace("test-bloom", "other"), encoding="utf-8")
    said = typed("nightly", moving.recipe, tmp_path / "other.yaml", "-t", "1", "--json")

    told = json.loads(said.out)["recipes"]
    assert said.code == 0
    assert {one["commit"] for one in told} == {first}
    assert said.err.count("✓ build standin") == 1
