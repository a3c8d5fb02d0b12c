"""Upstream sources from mirrors in archives, when git cannot be reached."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from git import Repo

from orchestrator.base.errors import EnvironmentProblem, Interrupted, StepError
from orchestrator.base.process import run_process
from orchestrator.sources import git
from tests.support.package_index import Index
from tests.support.upstream_repositories import (
    GIT_DIR,
    SDIST,
    checkout,
    commits,
    mirror,
    module_of,
    pack,
    unreachable,
    url,
)


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
    run_process.stop_all()
    try:
        with pytest.raises(Interrupted):
            checkout(tmp_path / "t", {"git": url(upstream)}, "1" * 40)
    finally:
        run_process.resume()


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
