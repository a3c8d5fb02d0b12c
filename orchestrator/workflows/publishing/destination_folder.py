"""A folder as the place of a publication: files of its own, that no later run changes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.atomic_file import part_of
from orchestrator.base.digest import file_sha256
from orchestrator.base.disk_space import translated
from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.file_links import copy
from orchestrator.base.process import run_process
from orchestrator.engine.digest_cache import Digests
from orchestrator.engine.step_worker import Listener
from orchestrator.recipe.publish_section import DIR
from orchestrator.workflows.publishing import publication_record
from orchestrator.workflows.publishing.destination import Done, transfer
from orchestrator.workflows.publishing.publication_record import RECORD, Changes
from orchestrator.workflows.publishing.published_files import Piece, Tree


@dataclass(frozen=True)
class Folder:
    """A folder, made when it is not there; ``digests`` knows what files on this machine hold."""

    path: Path
    digests: Digests

    @property
    def name(self) -> str:
        """As --to takes it."""
        return f"{DIR}{self.path}"

    @property
    def url(self) -> str:
        """Where to look at it."""
        return str(self.path)

    def plan(self, tree: Tree) -> tuple[Changes, bool]:
        """What would have to be done, and whether the folder is there.

        Raises:
            UsageError: Another recipe was published there.
            EnvironmentProblem: The folder cannot be read.
        """
        with _usable(self.path):
            if not self.path.is_dir():
                return publication_record.changes(tree, (), _never, {}), False
            earlier = publication_record.files_of(self._record(), tree.recipe, self.name)
            names = [name for name in {*tree.by_name, *earlier} if self._has(name)]
            return publication_record.changes(tree, names, self._same, earlier), True

    def _has(self, name: str) -> bool:
        return os.path.lexists(self.path / name)

    def _record(self) -> bytes | None:
        path = self.path / RECORD
        return path.read_bytes() if path.is_file() else None

    def _same(self, name: str, piece: Piece) -> bool:
        """Whether a file of its own has a piece's content; read only if it may have changed."""
        path = self.path / name
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != piece.size:
            return False
        if piece.path is not None and os.path.samestat(found, piece.path.stat()):
            return False  # older versions made hard links, which change with the run's own file
        return self.digests.sha256(path, run_process.check_stopped) == piece.sha256

    def publish(self, tree: Tree, listener: Listener) -> Done:
        """Put what differs in place, one whole file after the other; the record comes last.

        Raises:
            UsageError, EnvironmentProblem: As :meth:`plan`.
            StepError: A file was changed since it was checked.
        """
        changes, _ = self.plan(tree)
        with _usable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._sweep(tree)
            for piece in changes.send:
                if piece.name != RECORD:
                    with transfer(listener, f"publish {piece.name}", piece.size):
                        self._put(piece)
            for name in changes.remove:
                (self.path / name).unlink()
                with suppress(OSError):  # the folder of the last part; others have files in it
                    if "/" in name:
                        (self.path / name).parent.rmdir()
            # Only what the record says is ours later: until all is done, the old one holds.
            self._put(tree.by_name[RECORD])
        return Done(changes, self.url)

    def _sweep(self, tree: Tree) -> None:
        """Remove what a publication that was killed left of our files."""
        for path in self.path.glob(".*.part"):
            if path.name.removesuffix(".part").rpartition(".")[0].removeprefix(".") in tree.by_name:
                path.unlink()

    def _put(self, piece: Piece) -> None:
        (self.path / piece.name).parent.mkdir(exist_ok=True)
        with part_of(self.path / piece.name) as part:
            if piece.path is None:
                part.write_bytes(piece.data)
            else:
                copy(piece.path.resolve(), part)
                _require_same(part, piece)


def _require_same(part: Path, piece: Piece) -> None:
    """Refuse a file that was changed between the check and now."""
    if file_sha256(part, run_process.check_stopped) != piece.sha256:
        raise StepError(
            f"{piece.path} was changed while it was published",
            "Let nothing write there, run the recipe again, and publish again.",
        )


def _never(_name: str, _piece: Piece) -> bool:
    return False


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        with translated(path, "publishing"):
            yield
    except OSError as error:
        raise EnvironmentProblem(
            f"{error.filename2 or error.filename or path} cannot be used: {error.strerror}",
            "Choose another folder with --to.",
        ) from error
