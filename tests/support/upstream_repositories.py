"""Repositories and sdists that stand in for an upstream and its mirrors."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from git import Repo

from orchestrator.sources import git
from tests.support.package_index import Index
from tests.support.tasks import a_task

SDIST = "mirror-1.0.tar.gz"
GIT_DIR = ".git/modules/vendor/upstream"


def url(repo: Repo) -> str:
    return f"file://{repo.working_dir}"


def commits(repo: Repo) -> tuple[str, str]:
    return repo.commit("HEAD~1").hexsha, repo.commit("HEAD").hexsha


def checkout(folder: Path, source: dict[str, Any], commit: str, **rest: Any) -> tuple[Path, str]:
    task = a_task(folder, **rest)
    dest = task.scratch / "source"
    return dest, git.checkout(source, commit, dest, task)


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
