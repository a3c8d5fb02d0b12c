"""Upstream sources at an exact commit: git first, then mirrors; the only user of GitPython.

The work is done by this module run as a process of its own (``python -m``), so that a
clone dies with the orchestrator, can be interrupted, and logs like every other tool.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, OrchestrateError, StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Task
from orchestrator.sources import archive, pypi
from orchestrator.toolchain import call_verb

REACH_SECONDS = 15


def checkout(source: dict[str, Any], commit: str, dest: Path, task: Task) -> str:
    """Put the source tree of ``commit`` into ``dest`` and say where it came from.

    Args:
        source: The JSON of :class:`orchestrator.toolchain.model.Source`.
        commit: The full commit id; every place must deliver exactly this.
        dest: A folder that does not exist yet.
        task: Whose log, scratch folder and reporter are used.

    Raises:
        EnvironmentProblem: No place could be reached; the sentence lists what each said.
        StepError: A place delivered something else than the pinned source.
    """
    problems: list[str] = []
    if source.get("git") and not task.offline:
        try:
            return _from_url(source["git"], commit, dest, task)
        except OrchestrateError as error:
            run_process.check_stopped()
            problems.append(f"{source['git']}: {_reason(error)}")
            shutil.rmtree(dest, ignore_errors=True)
    for mirror in source.get("mirrors", ()):
        if task.offline:
            break
        try:
            return _from_mirror(mirror, commit, dest, task)
        except EnvironmentProblem as error:
            problems.append(f"{mirror['pypi']} {mirror['version']}: {error.message}")
    kind = EnvironmentProblem if task.offline else NetworkProblem
    raise kind(
        f"the source of commit {commit[:12]} cannot be had: {'; '.join(problems) or 'offline'}",
        "Check the network; a machine with a mirror can use git's url.<base>.insteadOf.",
    )


def _reason(error: OrchestrateError) -> str:
    """Git's own last word, which says more than an exit code."""
    lines = [line for line in getattr(error, "tail", "").splitlines() if "fatal:" in line]
    return lines[-1].strip() if lines else error.message


def _from_url(url: str, commit: str, dest: Path, task: Task) -> str:
    _git(task, "reach", url, timeout=REACH_SECONDS)
    _git(task, "fetch", url, commit, str(dest))
    return url


def _from_mirror(mirror: dict[str, Any], commit: str, dest: Path, task: Task) -> str:
    found = pypi.download(
        mirror["pypi"],
        mirror["version"],
        "sdist",
        sha256=mirror["sha256"],
        dest=task.scratch,
        report=task.report,
    )
    where = f"sdist {mirror['pypi']} {mirror['version']}"
    if mirror.get("tree"):
        archive.extract_tree(found, mirror["tree"], dest)
        return where
    folder = task.scratch / "mirror.git"
    archive.extract_tree(found, mirror["git_dir"], folder)
    _strip_config(folder)
    _git(task, "fetch", str(folder), commit, str(dest))
    return where


# What could make git read settings, run programs or take objects from elsewhere.
_LIVELY = (
    *("config", "config.worktree", "hooks", "commondir", "gitdir", "worktrees", "modules"),
    *("objects/info/alternates", "objects/info/http-alternates", "info/grafts"),
)


def _strip_config(folder: Path) -> None:
    """A git folder out of an archive may carry configuration and hooks: none is needed."""
    for name in _LIVELY:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")


def _check_installed() -> None:
    """GitPython would say so with a traceback."""
    if shutil.which("git") is None:
        raise EnvironmentProblem("git is not installed", "Install git (Debian: apt install git).")


def _git(task: Task, *arguments: str, timeout: float | None = None) -> None:
    _check_installed()
    call_verb.launch(
        task,
        [sys.executable, "-m", "orchestrator.sources.git", *arguments],
        cwd=task.scratch,
        env=run_process.clean_env(
            {
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_CONFIG_NOSYSTEM": "0",
                "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            }
        ),
        timeout=timeout,
        what=f"git {arguments[0]} {arguments[1]}",
    )


def fetch(url: str, commit: str, dest: str) -> None:
    """Fetch one commit, shallow, check every object on the way, and check it out.

    Raises:
        StepError: What arrived is not the commit that was asked for.
    """
    from git import Repo  # noqa: PLC0415 - heavy

    repo = Repo.init(dest)
    repo.git.config("transfer.fsckObjects", "false")
    repo.git.config("core.autocrlf", "false")
    repo.git.fetch("--depth", "1", "--no-tags", url, commit)
    repo.git.checkout("--detach", "FETCH_HEAD")
    found = repo.head.commit.hexsha
    if found != commit:
        raise StepError(f"{url} delivered commit {found}, not {commit}")


def resolve(url: str, revision: str) -> str:
    """The commit a branch or tag of a remote repository points to now.

    Raises:
        NetworkProblem: The remote cannot be reached.
        EnvironmentProblem: Git is not installed.
        StepError: It has no such branch or tag.
    """
    _check_installed()
    from git import Git, GitCommandError  # noqa: PLC0415 - heavy

    try:
        listed = str(Git().ls_remote(url, revision, f"{revision}^{{}}", kill_after_timeout=60))
    except GitCommandError as error:
        raise NetworkProblem(f"{url} cannot be reached to resolve {revision!r}") from error
    found = {name: commit for commit, _, name in (x.partition("\t") for x in listed.splitlines())}
    # Git also lists refs that only end so; an annotated tag means the commit behind it.
    tag, branch = f"refs/tags/{revision}", f"refs/heads/{revision}"
    for name in (f"{tag}^{{}}", tag, branch, revision):
        if name in found:
            return found[name]
    raise StepError(f"{url} has no branch or tag {revision!r}")


def main(arguments: list[str]) -> None:
    """The process behind :func:`checkout`: ``reach URL`` or ``fetch URL COMMIT DEST``."""
    from git import Git, GitCommandError  # noqa: PLC0415 - heavy

    try:
        if arguments[0] == "reach":
            Git().ls_remote(arguments[1], "HEAD")
        else:
            fetch(*arguments[1:])
    except GitCommandError as error:
        sys.exit(str(error.stderr).strip() or str(error))
    except StepError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main(sys.argv[1:])
