"""All work with git, in a process of its own; the only user of GitPython.

Started as ``python -m orchestrator.sources.git_program REQUEST`` by
:mod:`orchestrator.sources.ask_git`, so that git has an environment of its own, can be
interrupted and dies with the run. REQUEST is the JSON of one of the requests in
:mod:`orchestrator.sources.git_messages`; the last line of the output is the JSON of its
answer. Where git fails the exit code is 1, and what git said is on standard error.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from git import Git, GitCommandError, Repo

from orchestrator.sources.git_messages import (
    REQUESTS,
    Answer,
    Begin,
    Clone,
    Commit,
    Compare,
    Compared,
    Done,
    End,
    Fetch,
    Judge,
    Next,
    Reach,
    Request,
    Resolve,
    Revision,
    Show,
    Shown,
)

_FIRST = re.compile(r"^# first bad commit: \[([0-9a-f]{40})\]", re.MULTILINE)
_POSSIBLE = re.compile(r"^# possible first bad commit: \[([0-9a-f]{40})\]", re.MULTILINE)
_SHORT = re.compile(r"[0-9a-f]{7,39}")
_LEFT = re.compile(r"roughly (\d+) step")


def answer(request: Request) -> Answer:
    """Do what is asked.

    Raises:
        GitCommandError: Git failed.
    """
    match request:
        case Reach():
            Git().ls_remote("--", request.url, "HEAD")
            return Done()
        case Fetch():
            return _fetch(request)
        case Resolve():
            return _resolve(request)
        case Clone():
            return _clone(request)
        case _:
            return _of_clone(Repo(request.clone), request)


def _of_clone(repo: Repo, request: Show | Compare | Begin | Judge | End) -> Answer:
    match request:
        case Show():
            return _show(repo, request.name)
        case Compare():
            return _compare(repo, request)
        case Begin():
            return _begin(repo, request)
        case Judge():
            return _judge(repo, request)
        case End():
            repo.git.bisect("reset")
            return Done()


def _fetch(request: Fetch) -> Revision:
    """Fetch one commit, shallow, check every object on the way, and check it out."""
    repo = Repo.init(request.folder)
    repo.git.config("transfer.fsckObjects", "false")
    repo.git.config("core.autocrlf", "false")
    repo.git.fetch("--depth", "1", "--no-tags", "--", request.url, request.commit)
    repo.git.checkout("--detach", "FETCH_HEAD")
    return Revision(commit=repo.head.commit.hexsha)


def _resolve(request: Resolve) -> Revision:
    revision = request.revision
    found = _listed(request.url, revision, f"{revision}^{{}}")
    # Git also lists refs that only end so; an annotated tag means the commit behind it.
    tag, branch = f"refs/tags/{revision}", f"refs/heads/{revision}"
    names = (f"{tag}^{{}}", tag, branch, revision)
    commit = next((found[name] for name in names if name in found), None)
    if commit is None and _SHORT.fullmatch(revision):
        whole = {one for one in _listed(request.url).values() if one.startswith(revision)}
        commit = whole.pop() if len(whole) == 1 else None
    return Revision(commit=commit)


def _listed(url: str, *names: str) -> dict[str, str]:
    """The commits that names of a repository point to, by name; of all names without any."""
    lines = str(Git().ls_remote("--", url, *names)).splitlines()
    return {name: commit for commit, _, name in (line.partition("\t") for line in lines)}


def _clone(request: Clone) -> Done:
    """Only commits are fetched (a "treeless" clone), where the server can do that."""
    place = Path(request.clone)
    if (place / "HEAD").exists():
        options = ("--prune", "--tags", "--force", "--")
        Repo(place).git.fetch(*options, request.url, "+refs/heads/*:refs/heads/*")
        return Done()
    part = place.with_name(f"{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    # Not --local: git then checks every object. The filter is ignored where unknown.
    Repo.clone_from(request.url, part, multi_options=["--bare", "--no-local", "--filter=tree:0"])
    part.rename(place)
    return Done()


def _show(repo: Repo, name: str) -> Shown:
    try:
        found = str(repo.git.rev_parse("--verify", f"{name}^{{commit}}"))
    except GitCommandError:
        return Shown(commit=None)
    said = str(repo.git.show("-s", "--format=%s%x00%an%x00%cI", found))
    subject, author, date = said.split("\0")
    return Shown(commit=Commit(id=found, subject=subject, author=author, date=date))


def _compare(repo: Repo, request: Compare) -> Compared:
    older, newer = repo.commit(request.older), repo.commit(request.newer)
    return Compared(ancestor=bool(repo.is_ancestor(older, newer)))


def _begin(repo: Repo, request: Begin) -> Next:
    repo.git.bisect("reset")
    return _next(repo, str(repo.git.bisect("start", "--no-checkout", request.bad, request.good)))


def _judge(repo: Repo, request: Judge) -> Next:
    try:
        said = str(repo.git.bisect(request.verdict, request.commit))
    except GitCommandError as error:
        # Also git's way to say that only skipped commits are left.
        said = f"{error.stdout}\n{error.stderr}"
    return _next(repo, said)


def _next(repo: Repo, said: str) -> Next:
    so_far = str(repo.git.bisect("log"))
    first, possible = _FIRST.findall(so_far), _POSSIBLE.findall(so_far)
    if first or possible:
        return Next(found=tuple(first or dict.fromkeys(possible)))
    left = _LEFT.search(said)
    return Next(commit=repo.git.rev_parse("BISECT_HEAD"), left=int(left[1]) if left else 0)


def main(request: str) -> None:
    """Answer one request on standard output."""
    try:
        print(answer(REQUESTS.validate_json(request)).model_dump_json())
    except GitCommandError as error:
        sys.exit(str(error.stderr).strip() or str(error))
    except KeyboardInterrupt:
        sys.exit(130)  # git has been interrupted too, being of the same process group


if __name__ == "__main__":
    main(sys.argv[1])
