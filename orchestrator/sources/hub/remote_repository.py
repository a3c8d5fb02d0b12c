"""A model repository on the Hub as publishing sees it: what it holds, what is to change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import StepError
from orchestrator.base.process import run_process
from orchestrator.sources.choose_model_files import HubFile
from orchestrator.sources.hub import client
from orchestrator.sources.hub.read_errors import RefusedError, Where
from orchestrator.sources.hub.resumable_download import retrying
from orchestrator.sources.hub.write_errors import translate_writing

BRANCH = "main"


@dataclass(frozen=True)
class Remote:
    """What a repository holds; ``head`` is empty when there is none yet.

    ``private`` is None without a repository.
    """

    head: str = ""
    files: tuple[HubFile, ...] = ()
    private: bool | None = None


@dataclass(frozen=True)
class Upload:
    """A file to send: it lies at ``path``, or it is ``data``."""

    name: str
    size: int
    sha256: str
    path: Path | None = None
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Change:
    """What a commit does: files to send and names to remove; none of both, no commit."""

    uploads: tuple[Upload, ...] = ()
    deletions: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.uploads or self.deletions)


@dataclass(frozen=True)
class Committed:
    """What was done last: the commit (of others, when nothing was to do) and its page."""

    commit: str
    url: str
    created: bool
    change: Change


def look(repo: str) -> Remote:
    """What a repository holds now at its main branch; one request.

    A repository that is not there and one that is not shown to this token look the same.

    Raises:
        EnvironmentProblem: No network, or the token is refused.
    """
    where = place(repo)
    with client.explained(where, translate_writing):
        return at(where)


def place(repo: str) -> Where:
    """A repository's main branch, as a place that is written to."""
    return replace(client.where_is(repo, BRANCH, "model"), writes=True)


def at(where: Where, revision: str = BRANCH) -> Remote:
    """As :func:`look`, of any commit, for callers that explain errors themselves."""
    try:
        info = retrying(partial(client.ask_info, replace(where, revision=revision), files=True))
    except RefusedError as error:
        if error.missing:
            return Remote()
        raise
    return Remote(info.commit, info.files or (), info.private)


def holds(file: HubFile | None, upload: Upload) -> bool:
    """Whether the Hub lists what was sent."""
    if file is None or file.size != upload.size:
        return False
    return not file.sha256 or file.sha256 == upload.sha256


def require_same(upload: Upload) -> None:
    """Refuse a file that was changed after it was checked: not every storage hashes what arrives.

    Raises:
        StepError: It was.
    """
    if upload.path is not None and _sha256(upload.path) != upload.sha256:
        raise StepError(
            f"{upload.path} was changed while it was published; nothing was committed",
            "Let nothing write there, run the recipe again, and publish again.",
        )


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path, run_process.check_stopped)
    except OSError:
        return ""  # gone, which is a change too


def read(repo: str, head: str, file: HubFile) -> bytes:
    """The content of a small file of a repository.

    Raises:
        OrchestrateError: It is not to be had.
    """
    return client.read_range(client.where_is(repo, head, "model"), file.path, 0, file.size)[0]


def page(repo: str) -> str:
    """The address of a repository's page."""
    return client.where_is(repo, BRANCH, "model").page
