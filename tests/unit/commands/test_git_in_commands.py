"""Commands that ask git, typed as a user does: what git sees, and that nothing else asks it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from git import Repo

from orchestrator.base.step_values import JSON, Task
from tests.support.command_line import Command, without_checksums
from tests.support.fake_steps import fake_kinds
from tests.support.shims import OF_GIT, first_on_path, passing_shim, secrets_seen, set_secrets

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shims are shell scripts")
UPSTREAM = "https://github.com/ggml-org/llama.cpp"


@pytest.fixture
def history(tmp_path: Path) -> list[str]:
    """Four commits on the branch master of what git takes for llama.cpp, oldest first."""
    repo = Repo.init(tmp_path / "upstream", initial_branch="master")
    with repo.config_writer() as config:
        config.set_value("user", "name", "test")
        config.set_value("user", "email", "test@localhost")
    imatrix = tmp_path / "upstream" / "tools" / "imatrix" / "imatrix.cpp"
    imatrix.parent.mkdir(parents=True)
    imatrix.write_text("what makes importance matrices", encoding="utf-8")
    repo.git.add("-A")
    for number in range(4):
        repo.git.commit("-q", "--allow-empty", "-m", f"change {number}")
    settings = f'[url "file://{repo.working_dir}"]\n\tinsteadOf = {UPSTREAM}\n'
    (Path.home() / ".gitconfig").write_text(settings, encoding="utf-8")
    return [commit.hexsha for commit in repo.iter_commits("master", reverse=True)]


@pytest.fixture
def tools(history: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git that notes what it sees, and secrets to see."""
    passing_shim(tmp_path / "bin", "git")
    first_on_path(monkeypatch, tmp_path / "bin")
    set_secrets(monkeypatch)
    return tmp_path / "bin"


def following(commit: str) -> Path:
    """The tiny recipe at a branch or commit of llama.cpp."""
    path = without_checksums()
    chosen = f"toolchain: {{name: llama.cpp, commit: {commit}}}"
    path.write_text(path.read_text().replace("toolchain: llama.cpp", chosen))
    return path


@pytest.mark.usefixtures("fakes")
def test_planning_a_branch_shows_git_its_own_credentials_alone(
    orchestrate: Command, history: list[str], tools: Path
) -> None:
    said = orchestrate("plan", following("master"))

    assert said.code == 0, said
    assert history[-1][:12] in said.out
    assert secrets_seen(tools, "git") == set(OF_GIT)


def test_a_bisection_shows_git_its_own_credentials_alone(
    orchestrate: Command, history: list[str], tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_this_commit(task: Task) -> dict[str, JSON]:
        (task.workdir / task.step.params["file"]).write_text(task.step.key)
        return {"size": 1, "bits_per_weight": 4.84, "fallbacks": []}

    fake_kinds(monkeypatch, quantize=of_this_commit)
    ends = ("--good", "master~3", "--bad", "master")

    said = orchestrate("bisect", following("master"), "--only", "Q4_0", *ends)

    assert said.code == 0, said
    assert f"{history[1]} changes the bytes of" in said.out
    assert secrets_seen(tools, "git") == set(OF_GIT)
