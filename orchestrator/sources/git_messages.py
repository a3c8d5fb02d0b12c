"""What the git program is asked and what it answers: checked values, a commit is 40 hex digits.

Requests hold addresses and names from recipes and tool chains; none can be read by git as
an option.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

# Neither an option of git's nor more than one argument of a line.
Word = Annotated[str, Field(pattern=r"^[^-\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")]
Place = Annotated[str, Field(min_length=1)]  # an absolute path of our own
CommitId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Verdict = Literal["good", "bad", "skip"]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reach(_Message):
    """Ask a repository anything, to see whether it answers. Answer: :class:`Done`."""

    do: Literal["reach"] = "reach"
    url: Word


class Fetch(_Message):
    """Check one commit of a repository out into a new folder. Answer: :class:`Revision`."""

    do: Literal["fetch"] = "fetch"
    url: Word
    commit: CommitId
    folder: Place


class Resolve(_Message):
    """Which commit a branch or tag of a repository is now. Answer: :class:`Revision`."""

    do: Literal["resolve"] = "resolve"
    url: Word
    revision: Word


class Clone(_Message):
    """Make or update a clone that holds commits only. Answer: :class:`Done`."""

    do: Literal["clone"] = "clone"
    url: Word
    clone: Place


class Show(_Message):
    """What is known of a commit of a clone. Answer: :class:`Shown`."""

    do: Literal["show"] = "show"
    clone: Place
    name: Word


class Compare(_Message):
    """Whether one commit of a clone is an ancestor of another. Answer: :class:`Compared`."""

    do: Literal["compare"] = "compare"
    clone: Place
    older: CommitId
    newer: CommitId


class Begin(_Message):
    """Begin a bisection in a clone. Answer: :class:`Next`."""

    do: Literal["begin"] = "begin"
    clone: Place
    good: CommitId
    bad: CommitId


class Judge(_Message):
    """Say how a commit of a bisection was. Answer: :class:`Next`."""

    do: Literal["judge"] = "judge"
    clone: Place
    commit: CommitId
    verdict: Verdict


class End(_Message):
    """Forget a bisection. Answer: :class:`Done`."""

    do: Literal["end"] = "end"
    clone: Place


Request = Reach | Fetch | Resolve | Clone | Show | Compare | Begin | Judge | End
REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="do")])


class Done(_Message):
    """It was done, and there is nothing to say of it."""


class Revision(_Message):
    """A commit, or none where the repository has no branch or tag of that name."""

    commit: CommitId | None


@dataclass(frozen=True)
class Commit:
    """A commit as people know it: its id, first line, author's name and date (ISO 8601)."""

    id: CommitId
    subject: str
    author: str
    date: str


class Shown(_Message):
    """A commit, or none where the name means none or several."""

    commit: Commit | None


class Compared(_Message):
    """Whether the older commit is an ancestor of the newer one."""

    ancestor: bool


class Next(_Message):
    """What git says: the commit to try and about how many tries are left, or the end.

    ``found`` is empty while it goes on, the first bad commit at the end, or several where
    commits that could not be tried lie between.
    """

    commit: CommitId | Literal[""] = ""
    left: Annotated[int, Field(ge=0)] = 0
    found: tuple[CommitId, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Next:
        if bool(self.commit) == bool(self.found):
            raise ValueError("either a commit to try or the end")
        return self


Answer = Done | Revision | Shown | Compared | Next
