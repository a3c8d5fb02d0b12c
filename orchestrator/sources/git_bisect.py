"""Git's own bisection of an upstream's history, in a clone that holds no files.

Only commits are fetched (a "treeless" clone, where the server can do that); git says which
commit to try next, and is told how it was. The clone is kept, so that the next search only
fetches what is new.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.base.errors import NetworkProblem, StepError, UsageError
from orchestrator.base.process import run_process
from orchestrator.sources.ask_git import ask, reason
from orchestrator.sources.git_messages import (
    Begin,
    Clone,
    Commit,
    Compare,
    Compared,
    Done,
    End,
    Judge,
    Next,
    Request,
    Show,
    Shown,
    Verdict,
)

A = TypeVar("A", bound=BaseModel)


def clone(url: str, place: Path, log: Path) -> None:
    """Make the clone at ``place``, or bring it up to date.

    Raises:
        NetworkProblem: The repository cannot be reached.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    launch = partial(run_process.run, log=log)
    try:
        ask(Clone(url=url, clone=str(place)), Done, launch, cwd=place.parent)
    except run_process.ToolError as error:
        raise NetworkProblem(
            f"the history of {url} cannot be fetched", f"Git says: {reason(error)}; see {log}."
        ) from error


class Bisection:
    """One search in a clone, logged to a file; only one at a time may use the clone."""

    def __init__(self, place: Path, log: Path) -> None:
        self._clone, self._log = place, log

    def commit(self, name: str) -> Commit:
        """The commit that a full or shortened id, a branch or a tag means.

        Raises:
            UsageError: There is no such commit, or several.
        """
        try:
            found = self._ask(Show(clone=str(self._clone), name=name), Shown).commit
        except ValidationError:  # a name that git would read as an option
            found = None
        if found is None:
            raise UsageError(
                f"{name} is no commit of the tool chain's upstream, or stands for several",
                "Give a full commit id, or a branch or tag of the upstream.",
            )
        return found

    def start(self, good: str, bad: str) -> Next:
        """Begin; what to try first.

        Raises:
            UsageError: The good commit is not an ancestor of the bad one.
        """
        if good == bad:
            raise UsageError(
                f"--good and --bad are the same commit, {good[:12]}",
                "Name two commits with others between them.",
            )
        place = str(self._clone)
        if not self._ask(Compare(clone=place, older=good, newer=bad), Compared).ancestor:
            raise UsageError(
                f"{good[:12]} (good) is not an ancestor of {bad[:12]} (bad)",
                "Give the older commit as --good; both must be of one line of history.",
            )
        return self._ask(Begin(clone=place, good=good, bad=bad), Next)

    def answer(self, commit: str, verdict: Verdict) -> Next:
        """Tell git how a commit was; what to try next, or what was found."""
        return self._ask(Judge(clone=str(self._clone), commit=commit, verdict=verdict), Next)

    def end(self) -> None:
        """Forget the search; what was tried stays where it was built."""
        self._ask(End(clone=str(self._clone)), Done)

    def _ask(self, request: Request, answer: type[A]) -> A:
        launch = partial(run_process.run, log=self._log)
        try:
            return ask(request, answer, launch, cwd=self._clone.parent)
        except run_process.ToolError as error:
            raise StepError(
                f"git cannot search in {self._clone}: {reason(error)}", f"See {self._log}."
            ) from error
