"""The stand-in for an upstream as a git repository, and the data that describes it."""

from __future__ import annotations

import shutil
from pathlib import Path

from git import Repo

from orchestrator.toolchain import load
from orchestrator.toolchain.load import ToolChain

UPSTREAM = Path(__file__).parent / "upstream"


def first_commit(folder: Path) -> Repo:
    """A repository of the stand-in with one commit, on the branch main."""
    shutil.copytree(UPSTREAM, folder)
    repo = Repo.init(folder, initial_branch="main")
    with repo.config_writer() as config:
        config.set_value("user", "name", "test")
        config.set_value("user", "email", "test@localhost")
        # Servers such as GitHub's serve every commit that they have, without its files too.
        config.set_value("uploadpack", "allowAnySHA1InWant", "true")
        config.set_value("uploadpack", "allowFilter", "true")
    (folder / "LICENSE").write_text("none", encoding="utf-8")
    return repo_with(repo, "stand-in")


def repo_with(repo: Repo, subject: str, *changes: tuple[str, str, str]) -> Repo:
    """One more commit, with changes of (file, text, what takes its place)."""
    folder = Path(repo.working_dir)
    for file, before, after in changes:
        text = (folder / file).read_text("utf-8")
        assert before in text, before
        (folder / file).write_text(text.replace(before, after), encoding="utf-8")
    repo.git.add("-A")
    repo.git.commit("-q", "--allow-empty", "-m", subject)
    return repo


def vendor(folder: Path, repo: Repo) -> ToolChain:
    """bloomz.cpp's data, with the stand-in's commit and converter."""
    chain = load.load("bloomz.cpp")
    source = chain.source.model_copy(
        update={"git": f"file://{repo.working_dir}", "commit": repo.head.commit.hexsha}
    )
    data = folder / "vendor" / "standin"
    shutil.copytree(chain.folder, data)
    (data / "requirements.txt").write_text("# the standard library is enough\n", encoding="utf-8")
    assert chain.environment is not None
    environment = chain.environment.model_copy(update={"imports": (), "extra_index": None})
    changes = {"name": "standin", "folder": data, "source": source, "environment": environment}
    return load.with_files(chain.model_copy(update=changes))
