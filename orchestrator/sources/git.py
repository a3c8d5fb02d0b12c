"""Upstream sources at an exact commit: git first, then mirrors."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, OrchestrateError, StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Task
from orchestrator.sources import archive, pypi
from orchestrator.sources.ask_git import ask, reason
from orchestrator.sources.git_messages import Done, Fetch, Reach, Resolve, Revision, Show, Shown
from orchestrator.toolchain import call_verb

REACH_SECONDS = 15
RESOLVE_SECONDS = 60


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
    if source.get("folder") and Path(source["folder"]).is_dir():
        _fetch(task, source["folder"], commit, dest)
        return str(source["origin"])
    if source.get("git") and not task.offline:
        try:
            return _from_url(source["git"], commit, dest, task)
        except OrchestrateError as error:
            run_process.check_stopped()
            problems.append(f"{source['git']}: {reason(error)}")
            shutil.rmtree(dest, ignore_errors=True)
    if task.offline:
        raise EnvironmentProblem(
            f"the source of commit {commit[:12]} is not stored here, and not fetched offline",
            "Run once without --offline.",
        )
    for mirror in source.get("mirrors", ()):
        try:
            return _from_mirror(mirror, commit, dest, task)
        except EnvironmentProblem as error:
            problems.append(f"{mirror['pypi']} {mirror['version']}: {error.message}")
    raise NetworkProblem(
        f"the source of commit {commit[:12]} cannot be fetched: {'; '.join(problems)}",
        "Check the network; a machine with a mirror can use git's url.<base>.insteadOf.",
    )


def _from_url(url: str, commit: str, dest: Path, task: Task) -> str:
    launch = partial(call_verb.launch, task)
    ask(Reach(url=url), Done, launch, cwd=task.scratch, timeout=REACH_SECONDS)
    return _fetch(task, url, commit, dest)


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
    strip(folder)
    _fetch(task, str(folder), commit, dest)
    return where


# What could make git read settings, run programs or take objects from elsewhere.
_LIVELY = (
    *("config", "config.worktree", "hooks", "commondir", "gitdir", "worktrees", "modules"),
    *("objects/info/alternates", "objects/info/http-alternates", "info/grafts"),
)


def strip(folder: Path) -> None:
    """Take configuration and hooks out of a git folder: of an archive, they are a stranger's.

    None is needed.
    """
    for name in _LIVELY:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")


def _fetch(task: Task, url: str, commit: str, dest: Path) -> str:
    launch = partial(call_verb.launch, task)
    request = Fetch(url=url, commit=commit, folder=str(dest))
    found = ask(request, Revision, launch, cwd=task.scratch).commit
    if found != commit:
        raise StepError(f"{url} delivered commit {found}, not {commit}")
    return url


def keep_files(source: Path, patterns: Iterable[str], target: Path, hint: str) -> None:
    """Copy the files of a checked-out tree that are needed later, by patterns of their paths.

    Raises:
        StepError: It lacks a script that is named without a pattern; with this hint.
    """
    scripts = [name for name in patterns if name.endswith(".py") and "*" not in name]
    gone = sorted(name for name in scripts if not (source / name).is_file())
    if gone:
        raise StepError(f"the source has no {', '.join(gone)}", hint)
    for path in matching(source, patterns):
        kept = target / path.relative_to(source)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)


def matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files below a folder that patterns of paths mean, links too."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if not path.is_dir()}
    return sorted(found)


def commit_date(folder: Path, task: Task) -> str:
    """The day of the commit that is checked out in a folder, such as 2024-09-25."""
    launch = partial(call_verb.launch, task)
    shown = ask(Show(clone=str(folder), name="HEAD"), Shown, launch, cwd=task.scratch).commit
    return shown.date[:10] if shown else ""


def resolve(url: str, revision: str) -> str:
    """The commit a branch, a tag or the beginning of a commit of a remote repository means now.

    Raises:
        NetworkProblem: The remote cannot be reached.
        EnvironmentProblem: Git is not installed.
        StepError: It has none such; of commits only those are known that a name points to.
    """
    found = None
    with suppress(ValidationError), TemporaryDirectory(prefix="orchestrate-") as folder:
        request, cwd = Resolve(url=url, revision=revision), Path(folder)
        launch = partial(run_process.run, log=cwd / "log")
        try:
            found = ask(request, Revision, launch, cwd=cwd, timeout=RESOLVE_SECONDS).commit
        except run_process.ToolError as error:
            raise NetworkProblem(
                f"{url} cannot be reached to resolve {revision!r}", f"Git says: {reason(error)}"
            ) from error
    if found is None:
        raise StepError(f"{url} has no branch or tag {revision!r}")
    return found
