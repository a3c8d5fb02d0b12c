"""Git's own bisection of an upstream's history, in a clone that holds no files.

Only commits are fetched (a "treeless" clone, where the server can do that); git says which
commit to try next, and is told how it was. The clone is kept, so that the next search only
fetches what is new.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.base.errors import NetworkProblem, StepError, UsageError
from orchestrator.base.process import run_process

if TYPE_CHECKING:
    from git import Repo

Answer = Literal["good", "bad", "skip"]
_FIRST = re.compile(r"^# first bad commit: \[([0-9a-f]{40})\]", re.MULTILINE)
_POSSIBLE = re.compile(r"^# possible first bad commit: \[([0-9a-f]{40})\]", re.MULTILINE)
_LEFT = re.compile(r"roughly (\d+) step")


@dataclass(frozen=True)
class Commit:
    """A commit as people know it: its id, first line, author's name and date (ISO 8601)."""

    id: str
    subject: str
    author: str
    date: str


@dataclass(frozen=True)
class Next:
    """What git says: the commit to try and about how many tries are left, or the end.

    ``found`` is empty while it goes on, the first bad commit at the end, or several where
    commits that could not be tried lie between.
    """

    commit: str = ""
    left: int = 0
    found: tuple[str, ...] = ()


def clone(url: str, place: Path, log: Path) -> None:
    """Make the clone at ``place``, or bring it up to date.

    Raises:
        NetworkProblem: The repository cannot be reached.
    """
    env = run_process.clean_env(
        {"GIT_TERMINAL_PROMPT": "0", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "orchestrator.sources.git_bisect", url, str(place)]
    try:
        run_process.run(argv, cwd=place.parent, log=log, env=env, what=f"git clone {url}")
    except run_process.ToolError as error:
        raise NetworkProblem(
            f"the history of {url} cannot be fetched", f"Check the network; see {log}."
        ) from error


class Bisection:
    """One search in a clone; only one at a time may use it."""

    def __init__(self, place: Path) -> None:
        from git import Repo  # noqa: PLC0415 - heavy

        self._repo: Repo = Repo(place)

    def commit(self, name: str) -> Commit:
        """The commit that a full or shortened id, a branch or a tag means.

        Raises:
            UsageError: There is no such commit, or several.
        """
        from git import GitCommandError  # noqa: PLC0415 - heavy

        try:
            found = str(self._repo.git.rev_parse("--verify", f"{name}^{{commit}}"))
        except GitCommandError as error:
            raise UsageError(
                f"{name} is no commit of the tool chain's upstream, or stands for several",
                "Give a full commit id, or a branch or tag of the upstream.",
            ) from error
        form = "%s%x00%an%x00%cI"
        subject, author, date = self._repo.git.show("-s", f"--format={form}", found).split("\0")
        return Commit(found, subject, author, date)

    def start(self, good: str, bad: str) -> Next:
        """Begin; what to try first.

        Raises:
            UsageError: The good commit is no ancestor of the bad one.
        """
        from git import GitCommandError  # noqa: PLC0415 - heavy

        if good == bad:
            raise UsageError(
                f"--good and --bad are the same commit, {good[:12]}",
                "Name two commits with others between them.",
            )
        if not self._older(good, bad):
            raise UsageError(
                f"{good[:12]} (good) is no ancestor of {bad[:12]} (bad)",
                "Give the older commit as --good; without a common line there is no first one.",
            )
        self.end()
        try:
            said = str(self._repo.git.bisect("start", "--no-checkout", bad, good))
        except GitCommandError as error:
            raise StepError(f"git cannot bisect: {str(error.stderr).strip()}") from error
        return self._next(said)

    def _older(self, one: str, other: str) -> bool:
        return bool(self._repo.is_ancestor(self._repo.commit(one), self._repo.commit(other)))

    def answer(self, commit: str, how: Answer) -> Next:
        """Tell git how a commit was; what to try next, or what was found."""
        from git import GitCommandError  # noqa: PLC0415 - heavy

        try:
            said = str(self._repo.git.bisect(how, commit))
        except GitCommandError as error:
            # Also git's way to say that only skipped commits are left.
            said = f"{error.stdout}\n{error.stderr}"
        return self._next(said)

    def end(self) -> None:
        """Forget the search; what was tried stays where it was built."""
        self._repo.git.bisect("reset")

    def _next(self, said: str) -> Next:
        told = str(self._repo.git.bisect("log"))
        first, possible = _FIRST.findall(told), _POSSIBLE.findall(told)
        if first or possible:
            return Next(found=tuple(first or dict.fromkeys(possible)))
        left = _LEFT.search(said)
        return Next(str(self._repo.git.rev_parse("BISECT_HEAD")), int(left[1]) if left else 0)


def main(arguments: Sequence[str]) -> None:
    """The process behind :func:`clone`: ``URL PLACE``."""
    from git import GitCommandError, Repo  # noqa: PLC0415 - heavy

    url, place = arguments[0], Path(arguments[1])
    try:
        if (place / "HEAD").exists():
            repo = Repo(place)
            repo.git.fetch("--prune", "--tags", "--force", url, "+refs/heads/*:refs/heads/*")
            return
        part = place.with_name(f"{place.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        # Not --local: git then checks every object. The filter is ignored where unknown.
        Repo.clone_from(url, part, multi_options=["--bare", "--no-local", "--filter=tree:0"])
        part.rename(place)
    except GitCommandError as error:
        sys.exit(str(error.stderr).strip() or str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
