"""Upstream sources from git: exactly the pinned commit, and what branches and tags mean."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from git import Repo

from orchestrator.base.errors import EnvironmentProblem, Interrupted, NetworkProblem, StepError
from orchestrator.base.process import run_process
from orchestrator.sources import git
from orchestrator.sources.git_messages import Revision
from tests.support.package_index import Index
from tests.support.upstream_repositories import checkout, commits, mirror, pack, unreachable, url


def test_the_exact_commit_is_fetched_and_no_other(tmp_path: Path, upstream: Repo) -> None:
    first, _ = commits(upstream)

    dest, origin = checkout(tmp_path / "t", {"git": url(upstream)}, first)

    assert (dest / "file.c").read_text() == "first"
    assert origin == url(upstream)
    fetched = Repo(dest)
    assert fetched.head.commit.hexsha == first
    assert len(list(fetched.iter_commits())) == 1
    log = (tmp_path / "t" / "log").read_text()
    assert f'"do":"fetch","url":"{url(upstream)}","commit":"{first}"' in log


def test_a_commit_that_is_not_there_is_said_in_gits_words(tmp_path: Path, upstream: Repo) -> None:
    with pytest.raises(
        EnvironmentProblem, match=r"commit 999999999999 cannot be fetched: file://.*"
    ):
        checkout(tmp_path / "t", {"git": url(upstream)}, "9" * 40)


def test_the_place_that_insteadof_names_is_asked(tmp_path: Path, upstream: Repo) -> None:
    first, _ = commits(upstream)
    (Path.home() / ".gitconfig").write_text(
        f'[url "{url(upstream)}"]\n\tinsteadOf = https://nowhere.invalid/upstream\n'
    )

    dest, _ = checkout(tmp_path / "t", {"git": "https://nowhere.invalid/upstream"}, first)

    assert (dest / "file.c").read_text() == "first"


def test_branches_and_tags_are_resolved(upstream: Repo) -> None:
    first, second = commits(upstream)

    assert git.resolve(url(upstream), "main") == second
    assert git.resolve(url(upstream), "v1") == first  # not the branch other/v1, not the tag object
    assert git.resolve(url(upstream), "other/v1") == second


def test_the_beginning_of_a_commit_that_a_name_points_to_is_resolved(upstream: Repo) -> None:
    first, second = commits(upstream)

    assert git.resolve(url(upstream), first[:7]) == first
    assert git.resolve(url(upstream), second[:12]) == second
    with pytest.raises(StepError, match="has no branch or tag"):
        git.resolve(url(upstream), first[:6])


def test_a_folder_that_has_the_commit_is_asked_before_any_server(
    tmp_path: Path, upstream: Repo
) -> None:
    first, _ = commits(upstream)
    source = {"git": "file:///nonexistent", "folder": upstream.git_dir, "origin": "elsewhere"}

    dest, origin = checkout(tmp_path / "t", source, first, offline=True)

    assert (dest / "file.c").read_text() == "first"
    assert origin == "elsewhere"


def test_a_folder_that_is_gone_is_passed_over(tmp_path: Path, upstream: Repo) -> None:
    first, _ = commits(upstream)
    source = {"git": url(upstream), "folder": str(tmp_path / "gone"), "origin": "elsewhere"}

    assert checkout(tmp_path / "t", source, first)[1] == url(upstream)


def test_what_cannot_be_resolved_is_said(upstream: Repo) -> None:
    with pytest.raises(StepError, match="has no branch or tag 'nothing'"):
        git.resolve(url(upstream), "nothing")
    with pytest.raises(NetworkProblem, match="cannot be reached to resolve 'main'") as caught:
        git.resolve("file:///nonexistent", "main")
    assert caught.value.hint.startswith("Git says: fatal: ")


def test_a_branch_named_like_an_option_of_git_is_none(tmp_path: Path, upstream: Repo) -> None:
    mark = tmp_path / "mark"

    with pytest.raises(StepError, match="has no branch or tag"):
        git.resolve(url(upstream), f"--upload-pack=touch {mark}")

    assert not mark.exists()


def test_resolving_has_a_limit_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and never answers; without a limit, no end."""
    monkeypatch.setattr(git, "RESOLVE_SECONDS", 0.5)
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "http")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x"

        with pytest.raises(NetworkProblem, match="cannot be reached to resolve 'main'"):
            git.resolve(address, "main")


def test_an_interruption_of_resolving_is_no_failure_of_the_remote(upstream: Repo) -> None:
    run_process.stop_all()
    try:
        with pytest.raises(Interrupted):
            git.resolve(url(upstream), "main")
    finally:
        run_process.resume()


def test_a_commit_other_than_the_pinned_one_is_refused(
    tmp_path: Path, upstream: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = commits(upstream)
    monkeypatch.setattr(git, "ask", lambda *_, **__: Revision(commit=second))

    with pytest.raises(EnvironmentProblem, match=f"delivered commit {second}, not {first}"):
        checkout(tmp_path / "t", {"git": url(upstream)}, first)


def test_without_git_that_is_what_is_missing(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file.c").write_text("old")
    place = mirror(index, pack(tree, "x", tmp_path / "x.tgz"), tree="x")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))

    with pytest.raises(EnvironmentProblem, match="git is not installed"):
        git.resolve("file:///nonexistent", "main")
    with pytest.raises(EnvironmentProblem, match="git is not installed"):
        checkout(tmp_path / "a", {"git": "file:///nonexistent"}, "1" * 40)
    dest, _ = checkout(tmp_path / "b", unreachable(place), "1" * 40)
    assert (dest / "file.c").read_text() == "old"
