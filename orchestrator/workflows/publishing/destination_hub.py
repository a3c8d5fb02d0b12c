"""A repository on the Hub as the place of a publication."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from orchestrator.base import units
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import Activity, Progress
from orchestrator.engine.step_worker import Listener
from orchestrator.recipe.publish_section import HUB
from orchestrator.sources.choose_model_files import HubFile
from orchestrator.sources.hub import remote_repository
from orchestrator.sources.hub import upload as hub_upload
from orchestrator.sources.hub.remote_repository import Change, Remote, Upload
from orchestrator.workflows.publishing import publication_record
from orchestrator.workflows.publishing.destination import UPLOAD, Done, transfer
from orchestrator.workflows.publishing.publication_record import RECORD, Changes
from orchestrator.workflows.publishing.published_files import Piece, Tree, blob_id


@dataclass(frozen=True)
class Repository:
    """A model repository; it is made when it is not there.

    Attributes:
        repo: ORGANISATION/NAME.
        private: Whether it must be for members only.
        message: The first line of the commit; empty for one that names the recipe.
    """

    repo: str
    private: bool = False
    message: str = ""

    @property
    def name(self) -> str:
        """As --to takes it."""
        return f"{HUB}{self.repo}"

    @property
    def url(self) -> str:
        """Where to look at it."""
        return remote_repository.page(self.repo)

    def plan(self, tree: Tree) -> tuple[Changes, bool]:
        """What would have to be done, and whether the repository is there; asks the Hub.

        Raises:
            UsageError: Another recipe was published there, or it is public and must not be.
            EnvironmentProblem: The Hub cannot be asked.
        """
        remote = remote_repository.look(self.repo)
        return self._changes(tree, remote), bool(remote.head)

    def _changes(self, tree: Tree, remote: Remote) -> Changes:
        if self.private and remote.private is False:
            raise UsageError(
                f"{self.repo} is public, and --private was asked for",
                "Make it private in its settings on the Hub, or name another one.",
            )
        there = {file.path: file for file in remote.files}

        def same(name: str, piece: Piece) -> bool:
            return _same(there[name], piece)

        earlier = publication_record.files_of(
            self._record(tree, remote, there), tree.recipe, self.name
        )
        return publication_record.changes(tree, list(there), same, earlier)

    def _record(self, tree: Tree, remote: Remote, there: dict[str, HubFile]) -> bytes | None:
        """The record there, unless it is the one to be written anyway."""
        if RECORD not in there:
            return None
        ours = tree.by_name[RECORD]
        if _same(there[RECORD], ours):
            return ours.data
        return remote_repository.read(self.repo, remote.head, there[RECORD])

    def publish(self, tree: Tree, listener: Listener) -> Done:
        """Send what differs and commit it, all at once.

        Raises:
            UsageError, EnvironmentProblem: As :meth:`plan`; no right to write, no room.
            StepError: The Hub refuses the model card.
        """
        last: list[Changes] = []

        def decide(remote: Remote) -> Change:
            last.append(self._changes(tree, remote))
            return Change(tuple(map(_upload, last[-1].send)), last[-1].remove)

        def sending(upload: Upload) -> AbstractContextManager[Callable[[Progress], None]]:
            return transfer(listener, f"upload {upload.name}", upload.size)

        def waiting(seconds: float) -> None:
            shown = Activity(UPLOAD, f"publish to {self.name}", self.name)
            listener.waiting(shown, f"the Hub, {units.duration(seconds)}")

        done = hub_upload.publish(
            self.repo,
            decide,
            message=self.message or f"Publish {tree.recipe}",
            private=self.private,
            sending=sending,
            waiting=waiting,
        )
        return Done(last[-1], self.url, done.commit)


def _same(file: HubFile, piece: Piece) -> bool:
    """Whether the Hub lists a file with a piece's content."""
    if file.size != piece.size:
        return False
    return file.sha256 == piece.sha256 if file.sha256 else file.blob_id == blob_id(piece)


def _upload(piece: Piece) -> Upload:
    return Upload(piece.name, piece.size, piece.sha256, piece.path, piece.data)
