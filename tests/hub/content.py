"""A folder as a Hub repository: its files, their digests, what the API says of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

LFS_SUFFIXES = {".safetensors", ".bin", ".model", ".gguf", ".zip", ".pth", ".h5"}
LFS_SIZE = 10 << 20


@dataclass(frozen=True)
class Repo:
    """A folder served as a repository.

    Attributes:
        folder: Its files.
        revision: The full commit that the branches point at; the only commit there is.
        branches: Names that resolve to ``revision``.
        gated: Files need a token of ``granted``; the listing does not, as on the Hub.
        private: Everything does.
        granted: Tokens that may read.
        digests: SHA-256 by path, for sparse files that would take long to hash.
        card: The front matter of README.md, as the API tells it.
        dates: When files were changed last, by path, as the API tells it.
        history: Commits of main and their times, newest first.
        earlier: The repository at earlier commits.
    """

    folder: Path
    revision: str
    branches: tuple[str, ...] = ("main",)
    gated: bool = False
    private: bool = False
    granted: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    dates: Mapping[str, str] = field(default_factory=dict)
    history: tuple[tuple[str, str], ...] = ()
    earlier: tuple[Repo, ...] = ()

    def at(self, revision: str) -> Repo:
        """The repository at a commit that it knows."""
        return next((one for one in self.earlier if one.revision == revision), self)

    def knows(self, revision: str) -> bool:
        commits = (self.revision, *(one.revision for one in self.earlier))
        return revision in commits or revision in self.branches

    def paths(self) -> list[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    def file(self, path: str) -> Path | None:
        return self.folder / path if path in self.paths() else None

    def is_lfs(self, path: str) -> bool:
        file = self.folder / path
        return file.suffix in LFS_SUFFIXES or file.stat().st_size > LFS_SIZE

    def sha256(self, path: str) -> str:
        return self.digests.get(path) or _digest(self.folder / path, "sha256")

    def blob_id(self, path: str) -> str:
        """The git object's id: of the content, or of the pointer that LFS leaves in git."""
        if not self.is_lfs(path):
            return _digest(self.folder / path, "git")
        return hashlib.sha1(b"blob %d\0" % len(self.pointer(path)) + self.pointer(path)).hexdigest()

    def pointer(self, path: str) -> bytes:
        size = (self.folder / path).stat().st_size
        lines = (
            "version https://git-lfs.github.com/spec/v1",
            f"oid sha256:{self.sha256(path)}",
            f"size {size}",
        )
        return ("\n".join(lines) + "\n").encode()

    def etag(self, path: str) -> str:
        return self.sha256(path) if self.is_lfs(path) else self.blob_id(path)

    def info(self, name: str, blobs: bool) -> dict[str, Any]:
        """The answer of /api/models/NAME."""
        return {
            "id": name,
            "modelId": name,
            "sha": self.revision,
            "private": self.private,
            "gated": "manual" if self.gated else False,
            "disabled": False,
            "tags": [],
            "cardData": dict(self.card),
            "downloads": 0,
            "likes": 0,
            "siblings": [self._sibling(path, blobs) for path in self.paths()],
        }

    def _sibling(self, path: str, blobs: bool) -> dict[str, Any]:
        if not blobs:
            return {"rfilename": path}
        size = (self.folder / path).stat().st_size
        entry: dict[str, Any] = {"rfilename": path, "size": size, "blobId": self.blob_id(path)}
        if self.is_lfs(path):
            pointer = len(self.pointer(path))
            entry["lfs"] = {"sha256": self.sha256(path), "size": size, "pointerSize": pointer}
        return entry

    def tree(self) -> list[dict[str, Any]]:
        """The answer of /api/models/NAME/tree/REVISION?recursive=true."""
        folders = {parent for path in self.paths() for parent in Path(path).parents}
        entries = [
            {"type": "directory", "oid": self.revision, "size": 0, "path": folder.as_posix()}
            for folder in sorted(folders)
            if folder != Path()
        ]
        return entries + [self._leaf(path) for path in self.paths()]

    def _leaf(self, path: str) -> dict[str, Any]:
        size = (self.folder / path).stat().st_size
        entry = {"type": "file", "oid": self.blob_id(path), "size": size, "path": path}
        if self.is_lfs(path):
            pointer = len(self.pointer(path))
            entry["lfs"] = {"oid": self.sha256(path), "size": size, "pointerSize": pointer}
        if path in self.dates:
            entry["lastCommit"] = {"id": self.revision, "title": "x", "date": self.dates[path]}
        return entry

    def commits(self) -> list[dict[str, Any]]:
        """The answer of /api/models/NAME/commits/main."""
        return [{"id": commit, "title": "x", "date": date} for commit, date in self.history]


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def _digest(path: Path, kind: str) -> str:
    stat = path.stat()
    return _hashed(path, kind, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hashed(path: Path, kind: str, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % size)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
