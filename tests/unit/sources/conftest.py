from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from git import Repo

from tests.support.package_index import Index, running


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
