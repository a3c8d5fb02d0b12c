"""Upstream sources: exactly the pinned commit, from git, then from mirrors in archives."""

from __future__ import annotations

import shutil
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from git import Repo

from orchestrator import process
from orchestrator.errors import EnvironmentProblem, Interrupted, StepError
from orchestrator.sources import git
from tests.unit.index_work import Index, running
from tests.unit.task_work import a_task

SDIST = "mirror-1.0.tar.gz"
GIT_DIR = ".git/modules/vendor/upstream"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running() as one:
        monkeypatch.setenv("PIP_INDEX_URL", one.url)
        yield one


@pytest.fixture
def upstream(tmp_path: Path) -> Repo:
    """A repository with a branch, a tag, and two commits."""
    repo = Repo.init(tmp_path / "upstream", initial_branch="main")
    with repo.config_writer() as config:
        config.set_value("user", "name", "test")
        config.set_value("user", "email", "test@localhost")
        # Servers such as GitHub's serve every commit that they have.
        config.set_value("uploadpack", "allowAnySHA1InWant", "true")
    for text in ("first", "second"):
        (tmp_path / "upstream" / "file.c").write_text(text)
        repo.git.add("-A")
        repo.git.commit("-q", "-m", text)
    repo.git.tag("-a", "v1", "HEAD~1", "-m", "one")
    repo.git.branch("other/v1")
    return repo


def url(repo: Repo) -> str:
    return f"file://{repo.working_dir}"


def commits(repo: Repo) -> tuple[str, str]:
    return repo.commit("HEAD~1").hexsha, repo.commit("HEAD").hexsha


def checkout(folder: Path, source: dict[str, Any], commit: str, **rest: Any) -> tuple[Path, str]:
    task = a_task(folder, **rest)
    dest = task.scratch / "source"
    return dest, git.checkout(source, commit, dest, task)


def test_the_exact_commit_is_fetched_and_no_other(tmp_path: Path, upstream: Repo) -> None:
    first, _ = commits(upstream)

    dest, origin = checkout(tmp_path / "t", {"git": url(upstream)}, first)

    assert (dest / "file.c").read_text() == "first"
    assert origin == url(upstream)
    fetched = Repo(dest)
    assert fetched.head.commit.hexsha == first
    assert len(list(fetched.iter_commits())) == 1
    log = (tmp_path / "t" / "log").read_text()
    assert f"fetch {url(upstream)} {first}" in log


def test_a_commit_that_is_not_there_is_said_in_gits_words(tmp_path: Path, upstream: Repo) -> None:
    with pytest.raises(EnvironmentProblem, match=r"commit 999999999999 cannot be had: file://.*"):
        checkout(tmp_path / "t", {"git": url(upstream)}, "9" * 40)


def test_the_place_that_insteadof_names_is_asked(tmp_path: Path, upstream: Repo) -> None:
    first, _ = commits(upstream)
    (Path.home() / ".gitconfig").write_text(
        f'[url "{url(upstream)}"]\n\tinsteadOf = https://nowhere.invalid/upstream\n'
    )

    dest, _ = checkout(tmp_path / "t", {"git": "https://nowhere.invalid/upstream"}, first)

    assert (dest / "file.c").read_text() == "first"


# -- mirrors -----------------------------------------------------------------------------


def pack(folder: Path, inside: str, target: Path) -> bytes:
    """An sdist that holds a folder at ``mirror-1.0/<inside>``."""
    with tarfile.open(target, "w:gz") as tar:
        tar.add(folder, f"mirror-1.0/{inside}")
    return target.read_bytes()


def mirror(index: Index, content: bytes, **where: str) -> dict[str, Any]:
    sha256 = index.add("mirror", SDIST, content)
    return {"pypi": "mirror", "version": "1.0", "sha256": sha256, **where}


def module_of(repo: Repo, folder: Path, commit: str) -> Path:
    """A shallow git folder like that of a submodule, as sdists carry it."""
    bare = Repo.init(folder, bare=True)
    bare.git.fetch("--depth", "1", url(repo), commit)
    bare.git.update_ref("refs/heads/main", commit)
    return folder


def unreachable(first: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    return {"git": "file:///nonexistent/upstream", "mirrors": [first, *more]}


def test_the_mirrors_git_folder_serves_when_git_does_not(
    tmp_path: Path, upstream: Repo, index: Index
) -> None:
    first, _ = commits(upstream)
    module = module_of(upstream, tmp_path / "module", first)
    place = mirror(index, pack(module, GIT_DIR, tmp_path / "x.tgz"), git_dir=GIT_DIR)

    dest, origin = checkout(tmp_path / "t", unreachable(place), first)

    assert (dest / "file.c").read_text() == "first"
    assert Repo(dest).head.commit.hexsha == first
    assert origin == "sdist mirror 1.0"


def test_reaching_git_has_a_limit_in_seconds(
    tmp_path: Path, upstream: Repo, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes the connection and never answers; without a limit, no end."""
    first, _ = commits(upstream)
    module = module_of(upstream, tmp_path / "module", first)
    place = mirror(index, pack(module, GIT_DIR, tmp_path / "x.tgz"), git_dir=GIT_DIR)
    monkeypatch.setattr(git, "REACH_SECONDS", 0.5)
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file:http")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x"

        _, origin = checkout(tmp_path / "t", {"git": address, "mirrors": [place]}, first)

    assert origin == "sdist mirror 1.0"


def test_a_mirror_with_another_commit_is_refused(
    tmp_path: Path, upstream: Repo, index: Index
) -> None:
    first, second = commits(upstream)
    module = module_of(upstream, tmp_path / "module", second)
    place = mirror(index, pack(module, GIT_DIR, tmp_path / "x.tgz"), git_dir=GIT_DIR)

    with pytest.raises(StepError):
        checkout(tmp_path / "t", unreachable(place), first)


def test_a_damaged_object_is_found(tmp_path: Path, upstream: Repo, index: Index) -> None:
    first, _ = commits(upstream)
    module = module_of(upstream, tmp_path / "module", first)
    Repo(module).git.repack("-a", "-d")
    [pack_file] = (module / "objects" / "pack").glob("*.pack")
    pack_file.chmod(0o644)
    content = bytearray(pack_file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    pack_file.write_bytes(bytes(content))
    place = mirror(index, pack(module, GIT_DIR, tmp_path / "x.tgz"), git_dir=GIT_DIR)

    with pytest.raises(StepError):
        checkout(tmp_path / "t", unreachable(place), first)


def test_a_plain_tree_is_taken_from_the_pinned_archive(tmp_path: Path, index: Index) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file.c").write_text("old")
    content = pack(tree, "vendor/upstream", tmp_path / "x.tgz")

    dest, origin = checkout(
        tmp_path / "t", unreachable(mirror(index, content, tree="vendor/upstream")), "1" * 40
    )

    assert (dest / "file.c").read_text() == "old"
    assert origin == "sdist mirror 1.0"


def test_nothing_of_a_failed_fetch_is_mixed_with_a_mirrors_tree(
    tmp_path: Path, upstream: Repo, index: Index
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file.c").write_text("old")
    place = mirror(index, pack(tree, "x", tmp_path / "x.tgz"), tree="x")

    dest, origin = checkout(tmp_path / "t", {"git": url(upstream), "mirrors": [place]}, "1" * 40)

    assert origin == "sdist mirror 1.0"
    assert [path.name for path in dest.iterdir()] == ["file.c"]


def test_an_archive_with_another_digest_is_refused(tmp_path: Path, index: Index) -> None:
    place = mirror(index, b"an sdist", tree="vendor/upstream")
    index.add("mirror", SDIST, b"another sdist")

    with pytest.raises(StepError, match="the pin says"):
        checkout(tmp_path / "t", unreachable(place), "1" * 40)


def test_the_next_mirror_is_asked_when_one_is_out_of_reach(
    tmp_path: Path, upstream: Repo, index: Index
) -> None:
    first, _ = commits(upstream)
    module = module_of(upstream, tmp_path / "module", first)
    place = mirror(index, pack(module, GIT_DIR, tmp_path / "x.tgz"), git_dir=GIT_DIR)
    index.status["/simple/broken/"] = 503
    broken = {**place, "pypi": "broken"}

    assert checkout(tmp_path / "t", unreachable(broken, place), first)[1] == "sdist mirror 1.0"


def test_when_nothing_answers_every_reason_is_told(tmp_path: Path, index: Index) -> None:
    index.status["/simple/mirror/"] = 503
    place = {"pypi": "mirror", "version": "1.0", "sha256": "0" * 64, "git_dir": GIT_DIR}

    with pytest.raises(EnvironmentProblem) as caught:
        checkout(tmp_path / "t", unreachable(place), "1" * 40)

    assert "file:///nonexistent/upstream: fatal: " in caught.value.message
    assert "mirror 1.0: the package index cannot be reached" in caught.value.message
    assert "insteadOf" in caught.value.hint


def test_offline_nothing_is_asked(tmp_path: Path, upstream: Repo, index: Index) -> None:
    first, _ = commits(upstream)
    place = mirror(index, b"an sdist", tree="x")

    with pytest.raises(EnvironmentProblem, match="offline"):
        checkout(tmp_path / "t", {"git": url(upstream), "mirrors": [place]}, first, offline=True)
    assert index.asked == []


def test_an_interruption_is_no_failure(tmp_path: Path, upstream: Repo) -> None:
    process.stop_all()
    try:
        with pytest.raises(Interrupted):
            checkout(tmp_path / "t", {"git": url(upstream)}, "1" * 40)
    finally:
        process.resume()


HOSTILE = """\
[core]
\tfsmonitor = touch {mark}
\tsshCommand = touch {mark}
\thooksPath = {hooks}
\tpager = touch {mark}
[uploadpack]
\tpackObjectsHook = touch {mark}
[alias]
\tupload-pack = !touch {mark}
[include]
\tpath = {hooks}/more
"""


def test_what_is_alive_in_a_mirror_is_never_run(
    tmp_path: Path, upstream: Repo, index: Index
) -> None:
    first, _ = commits(upstream)
    module = module_of(upstream, tmp_path / "module", first)
    mark = tmp_path / "mark"
    hooks = module / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-upload-pack", "pre-upload-pack", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (hooks / name).chmod(0o755)
    settings = HOSTILE.format(mark=mark, hooks=hooks)
    for name in ("config", "config.worktree"):
        (module / name).write_text(settings)
    shutil.copytree(module, module / "evil")
    (module / "commondir").write_text("evil")
    (module / "objects" / "info").mkdir(exist_ok=True)
    (module / "objects" / "info" / "alternates").write_text(f"{upstream.git_dir}/objects\n")
    place = mirror(index, pack(module, GIT_DIR, tmp_path / "x.tgz"), git_dir=GIT_DIR)

    dest, _ = checkout(tmp_path / "t", unreachable(place), first)

    assert (dest / "file.c").read_text() == "first"
    assert not mark.exists()
    folder = tmp_path / "t" / "scratch" / "mirror.git"
    assert "touch" not in (folder / "config").read_text()
    assert not (folder / "objects" / "info" / "alternates").exists()
    assert not (folder / "commondir").exists()


def test_objects_of_other_repositories_are_not_borrowed(
    tmp_path: Path, upstream: Repo, index: Index
) -> None:
    """An empty git folder whose alternates point at a repository of this machine."""
    first, _ = commits(upstream)
    bare = Repo.init(tmp_path / "module", bare=True)
    folder = Path(bare.git_dir)
    (folder / "objects" / "info" / "alternates").write_text(f"{upstream.git_dir}/objects\n")
    (folder / "refs" / "heads" / "main").write_text(f"{first}\n")
    place = mirror(index, pack(folder, GIT_DIR, tmp_path / "x.tgz"), git_dir=GIT_DIR)

    with pytest.raises(StepError):
        checkout(tmp_path / "t", unreachable(place), first)


# -- moving references -------------------------------------------------------------------


def test_branches_and_tags_are_resolved(upstream: Repo) -> None:
    first, second = commits(upstream)

    assert git.resolve(url(upstream), "main") == second
    assert git.resolve(url(upstream), "v1") == first  # not the branch other/v1, not the tag object
    assert git.resolve(url(upstream), "other/v1") == second


def test_what_cannot_be_resolved_is_said(upstream: Repo) -> None:
    with pytest.raises(StepError, match="has no branch or tag 'nothing'"):
        git.resolve(url(upstream), "nothing")
    with pytest.raises(EnvironmentProblem, match="cannot be reached to resolve 'main'"):
        git.resolve("file:///nonexistent", "main")


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


def test_the_process_of_its_own_says_what_is_wrong(
    tmp_path: Path, upstream: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = commits(upstream)
    git.main(["reach", url(upstream)])
    git.main(["fetch", url(upstream), first, str(tmp_path / "one")])
    with pytest.raises(SystemExit, match="fatal"):
        git.main(["reach", "file:///nonexistent"])
    with pytest.raises(SystemExit, match=f"delivered commit {second}, not main"):
        git.main(["fetch", url(upstream), "main", str(tmp_path / "two")])
