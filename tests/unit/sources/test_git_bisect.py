"""A search in a local repository, with git's own bisection."""

from __future__ import annotations

from pathlib import Path

import pytest
from git import Repo

from orchestrator.base.errors import NetworkProblem, StepError, UsageError
from orchestrator.sources.git_bisect import Bisection, clone
from tests.support.upstream_repositories import commits, url


@pytest.fixture
def history(upstream: Repo) -> list[str]:
    """Six commits in a line, oldest first."""
    found = list(commits(upstream))
    for number in range(4):
        upstream.git.commit("-q", "--allow-empty", "-m", f"more {number}")
        found.append(upstream.head.commit.hexsha)
    return found


@pytest.fixture
def search(tmp_path: Path, upstream: Repo, history: list[str]) -> Bisection:
    place, log = tmp_path / "kept" / "clone.git", tmp_path / "log"
    clone(url(upstream), place, log)
    return Bisection(place, log)


def test_the_first_bad_commit_is_found(search: Bisection, history: list[str]) -> None:
    step = search.start(history[0], history[5])
    tried = 0
    while not step.found:
        assert step.commit in history[1:5]
        step = search.answer(step.commit, "bad" if step.commit in history[3:] else "good")
        tried += 1

    assert step.found == (history[3],)
    assert tried <= 3
    search.end()
    assert search.start(history[0], history[2]).commit == history[1]


def test_commits_that_nobody_could_try_are_all_named(search: Bisection, history: list[str]) -> None:
    step = search.start(history[0], history[3])
    while not step.found:
        step = search.answer(step.commit, "skip")

    assert set(step.found) == set(history[1:4])


def test_names_of_commits_are_understood(search: Bisection, history: list[str]) -> None:
    assert search.commit(history[1][:10]).id == history[1]
    assert search.commit("v1").id == history[0]
    found = search.commit("main")
    assert (found.id, found.subject, found.author) == (history[5], "more 3", "test")


@pytest.mark.parametrize("name", ["nothing", "", "--all", "-n1", "a b"])
def test_what_is_no_commit_is_refused(search: Bisection, name: str) -> None:
    with pytest.raises(UsageError, match="is no commit of the tool chain's upstream"):
        search.commit(name)


def test_ends_in_the_wrong_order_are_refused(search: Bisection, history: list[str]) -> None:
    with pytest.raises(UsageError, match="is not an ancestor"):
        search.start(history[2], history[1])
    with pytest.raises(UsageError, match="are the same commit"):
        search.start(history[2], history[2])


def test_the_clone_is_brought_up_to_date(
    tmp_path: Path, search: Bisection, upstream: Repo, history: list[str]
) -> None:
    upstream.git.commit("-q", "--allow-empty", "-m", "newest")
    clone(url(upstream), tmp_path / "kept" / "clone.git", tmp_path / "log")

    assert search.commit("main").subject == "newest"


def test_a_history_out_of_reach_is_said_in_gits_words(tmp_path: Path) -> None:
    with pytest.raises(NetworkProblem, match=r"the history of .* cannot be fetched") as caught:
        clone("file:///nonexistent", tmp_path / "clone.git", tmp_path / "log")
    assert "fatal: " in caught.value.hint


def test_a_damaged_clone_is_a_failure_with_its_log(
    tmp_path: Path, search: Bisection, history: list[str]
) -> None:
    (tmp_path / "kept" / "clone.git" / "packed-refs").write_text("damaged\n")

    with pytest.raises(StepError) as caught:
        search.start(history[0], history[5])
    assert str(tmp_path / "log") in caught.value.hint
