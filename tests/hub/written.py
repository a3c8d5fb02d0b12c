"""What was uploaded: repositories with their commits, and the storage of large files."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tests.hub.content import LFS_SIZE, LFS_SUFFIXES, Repo

TOKEN = "hf_writer"
LICENSES = {"mit", "apache-2.0", "llama2", "llama3.1", "cc-by-nc-4.0", "gpl-3.0", "other"}


@dataclass(frozen=True)
class Commit:
    """One commit of an uploaded repository: its files are those of the folder then."""

    oid: str
    parent: str
    summary: str
    added: tuple[str, ...]
    deleted: tuple[str, ...]


class ConflictError(Exception):
    """The commit that another one was made upon is not the last one any more."""


class MissingObjectError(Exception):
    """A commit names a large file that was never sent."""


@dataclass
class Written:
    """Repositories that can be written to, below ``root``.

    Attributes:
        repos: The Hub's models; made repositories are among them.
        root: Where their files and the large ones lie; None: nothing can be written.
        writers: Tokens that may write, to the accounts in ``accounts``.
        part_size: Large files are sent in parts of so many bytes; 0: in one piece.
        before_commit: Called once each, before the next commits: others who are faster.
    """

    repos: dict[str, Repo]
    root: Path | None
    writers: set[str] = field(default_factory=lambda: {TOKEN})
    accounts: set[str] = field(default_factory=lambda: {"org", "me"})
    part_size: int = 0
    commits: dict[str, list[Commit]] = field(default_factory=dict)
    before_commit: list[Callable[[], None]] = field(default_factory=list)

    @property
    def objects(self) -> Path:
        """The folder of large files, by their SHA-256."""
        assert self.root is not None
        folder = self.root / "objects"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def stored(self, oid: str, size: int) -> bool:
        path = self.objects / oid
        return path.is_file() and path.stat().st_size == size

    def keep(self, oid: str, data: Path) -> bool:
        """Take a large file that arrived; False when it has other content."""
        digest = hashlib.sha256(data.read_bytes()).hexdigest()
        if digest != oid:
            return False
        data.replace(self.objects / oid)
        return True

    def create(self, name: str, private: bool) -> bool:
        """Make a repository; False when it is there."""
        assert self.root is not None
        if name in self.repos:
            return False
        folder = self.root / "repos" / name
        folder.mkdir(parents=True)
        (folder / ".gitattributes").write_text("*.gguf filter=lfs diff=lfs merge=lfs -text\n")
        self.commits[name] = []
        granted = frozenset(self.writers)
        self.repos[name] = Repo(folder, "", private=private, granted=granted)
        self._advance(name, "initial commit", (".gitattributes",), ())
        return True

    def _advance(
        self, name: str, summary: str, added: tuple[str, ...], deleted: tuple[str, ...]
    ) -> str:
        parent = self.repos[name].revision
        text = repr((name, parent, summary, added, deleted, len(self.commits[name])))
        oid = hashlib.sha1(text.encode()).hexdigest()
        self.commits[name].append(Commit(oid, parent, summary, added, deleted))
        self.repos[name] = replace(self.repos[name], revision=oid)
        return oid

    def put(self, name: str, path: str, content: bytes, summary: str = "by hand") -> str:
        """Commit one file as somebody else would; the commit."""
        (self.repos[name].folder / path).write_bytes(content)
        return self._advance(name, summary, (path,), ())

    def mode(self, path: str, size: int) -> str:
        large = Path(path).suffix in LFS_SUFFIXES or size > LFS_SIZE
        return "lfs" if large else "regular"

    def commit(
        self,
        name: str,
        header: Mapping[str, Any],
        files: Mapping[str, bytes],
        large: Mapping[str, str],
        deleted: list[str],
    ) -> str:
        """Apply a commit as a whole.

        Raises:
            ConflictError, MissingObjectError: Nothing was changed.
        """
        while self.before_commit:
            self.before_commit.pop(0)()
        repo = self.repos[name]
        if header.get("parentCommit") not in (None, repo.revision):
            raise ConflictError
        if any(not (self.objects / oid).is_file() for oid in large.values()):
            raise MissingObjectError
        for path, data in files.items():
            (repo.folder / path).write_bytes(data)
        for path, oid in large.items():
            (repo.folder / path).unlink(missing_ok=True)
            shutil.copyfile(self.objects / oid, repo.folder / path)
        for path in deleted:
            (repo.folder / path).unlink()
        added = tuple(sorted({*files, *large}))
        return self._advance(name, str(header["summary"]), added, tuple(sorted(deleted)))


def complaints(card: str) -> list[str]:
    """What the Hub finds wrong with the front matter of a model card; the rules it is known for."""
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    if found is None:
        return []
    told = yaml.safe_load(found[1])
    wrong = []
    if told.get("license") not in (None, *LICENSES):
        wrong.append('"license" must be one of the known ids')
    languages = told.get("language") or []
    if any(not re.fullmatch(r"[a-z]{2,3}|code", str(one)) for one in languages):
        wrong.append('"language" must only contain lowercase characters')
    if not all(isinstance(tag, str) for tag in told.get("tags") or []):
        wrong.append('"tags" must be strings')
    return wrong
