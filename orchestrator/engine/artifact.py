"""A stored artifact: its folder, its manifest, and whether the two agree.

    artifacts/ab/<key>/files/         what the step made
    artifacts/ab/<key>/manifest.json  written last: an artifact is there when this is
    artifacts/ab/<key>/files.json     the sizes of a tree of very many files
    artifacts/ab/<key>/used           its modification time is the last use

A file's entry is one of {"size", "sha256"}, {"size"} (in files.json), {"link"} (the text of
a symbolic link) and {"size", "sha256", "reference"} (a link to a file outside the store).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestrator.base import digest, json_text
from orchestrator.base.digest import StrPath, file_sha256
from orchestrator.base.step_values import JSON

FILES = "files"
MANIFEST = "manifest.json"
LISTING = "files.json"
USED = "used"

Entry = Mapping[str, JSON]
Stamp = tuple[int, int] | None


class Damaged(Exception):  # noqa: N818 - never leaves the store
    """A stored artifact has no readable manifest or listing."""


@dataclass(frozen=True)
class Artifact:
    """What a step made.

    Attributes:
        key: The step's key.
        path: The folder with the files.
        manifest: How it was made and what it holds; see ``Store.commit``.
    """

    key: str
    path: Path
    manifest: Mapping[str, JSON]

    @property
    def kind(self) -> str:
        """The kind of the step that made it."""
        return str(self.manifest.get("kind", ""))

    @property
    def label(self) -> str:
        """What a person calls it."""
        return str(self.manifest.get("label", "")) or self.key[:12]

    @property
    def facts(self) -> Mapping[str, JSON]:
        """What the step said about its result."""
        facts: Mapping[str, JSON] = self.manifest.get("facts", {})
        return facts

    @property
    def size(self) -> int:
        """Bytes of its files in the store; files it refers to do not count."""
        return int(self.manifest.get("size", 0))


@dataclass(frozen=True)
class Stage:
    """Where a step works.

    Attributes:
        key: The step's key.
        workdir: An empty folder; its content becomes the artifact.
        scratch: A folder on the same disk for everything else; removed with the stage.
        log: The step's log, outside of both; it stays.
        final: What ``workdir`` will be called once it is committed.
    """

    key: str
    workdir: Path
    scratch: Path
    log: Path
    final: Path


def prepare(stage: Stage) -> None:
    """Make a stage's folders and its empty log."""
    stage.workdir.mkdir(parents=True)
    stage.scratch.mkdir()
    stage.log.parent.mkdir(parents=True, exist_ok=True)
    stage.log.write_bytes(b"")


def note_use(folder: Path) -> None:
    """Note that the artifact in a folder is used now."""
    try:
        (folder / USED).touch()
    except OSError:
        return  # a store that may only be read has no last uses


def last_used(folder: Path) -> float:
    """When its artifact was made or last found, in seconds since the epoch; 0 if unknown."""
    try:
        return (folder / USED).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def stamp(folder: Path) -> Stamp:
    """Tell one artifact from a later one of the same key; None without a manifest."""
    try:
        found = (folder / MANIFEST).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def load(key: str, folder: Path) -> Artifact | None:
    """Read the artifact in a folder; None if there is no such folder.

    Raises:
        Damaged: There is one, but its manifest cannot be read.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        if not folder.exists():
            return None
        raise Damaged("its manifest is missing") from None
    return Artifact(key, folder / FILES, parse(key, data))


def parse(key: str, data: bytes) -> dict[str, JSON]:
    """The manifest of a key from its bytes.

    Raises:
        Damaged: They are none.
    """
    try:
        content = json_text.parse(data)
    except ValueError as error:
        raise Damaged("its manifest is not JSON") from error
    if not isinstance(content, dict) or content.pop("digest", "") != digest.key_of_parsed(content):
        raise Damaged("its manifest has other content")
    if content.get("key") != key:
        raise Damaged("its manifest is of another step")
    return content


def file_size(path: StrPath) -> int:
    """Return the size of the regular file at a path or at the end of a link; else -1."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of thousands of files, here and below
    except (OSError, ValueError):
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def problems(artifact: Artifact) -> Iterator[str]:
    """Yield what does not agree with the manifest, by presence, sizes and links alone.

    Of a tree of very many files only the listing is looked at.
    """
    if not artifact.path.is_dir():
        yield "its files are missing"
    tree = artifact.manifest.get("tree")
    if tree is not None and file_size(artifact.path.parent / LISTING) != tree["listing_size"]:
        yield f"{LISTING} has another size"
    yield from _differences(artifact.path, artifact.manifest.get("files", {}))


def missing_references(artifact: Artifact) -> Iterator[str]:
    """Yield the files outside the store that it refers to and that this machine does not see."""
    for name, entry in artifact.manifest.get("files", {}).items():
        if "reference" in entry and file_size(artifact.path / name) < 0:
            yield str(entry["reference"])


def digests(artifact: Artifact) -> dict[str, str]:
    """The SHA-256 of every file that the manifest has one of, by its path."""
    entries: Mapping[str, Entry] = artifact.manifest.get("files", {})
    return {
        f"{artifact.path}{os.sep}{name}": entry["sha256"]
        for name, entry in entries.items()
        if "sha256" in entry
    }


def other_content(artifact: Artifact, sha256: Callable[[str], str]) -> Iterator[Path]:
    """Yield the files whose digests are not the manifest's; what is gone is not damaged."""
    for path, stated in digests(artifact).items():
        with contextlib.suppress(FileNotFoundError):  # released meanwhile, or a cache was cleared
            if sha256(path) != stated:
                yield Path(path)


def tree_problems(artifact: Artifact) -> Iterator[str]:
    """Yield what does not agree with the listing of a tree of very many files."""
    tree = artifact.manifest.get("tree")
    if tree is None:
        return
    listing = artifact.path.parent / LISTING
    if file_sha256(listing) != tree["listing_sha256"]:
        yield f"{LISTING} has other content"
    else:
        yield from _differences(artifact.path, json.loads(listing.read_bytes()))


def last_change(files: Iterable[Path]) -> float:
    """When damaged files may have been changed, in seconds since the epoch; the first of them.

    Of a file's two times the earlier: one can be set back, then more is made again than must.
    """
    stats = [path.stat() for path in files if path.exists()]  # unless it was moved aside already
    return min((min(found.st_mtime, found.st_ctime) for found in stats), default=math.inf)


def made(artifact: Artifact) -> float:
    """When an artifact was complete, in whole seconds since the epoch."""
    return datetime.fromisoformat(artifact.manifest["created"]).timestamp()


def _differences(folder: Path, entries: Mapping[str, Entry]) -> Iterator[str]:
    for name, entry in entries.items():
        path = f"{folder}{os.sep}{name}"
        if "link" in entry:
            if not os.path.islink(path) or os.readlink(path) != entry["link"]:  # noqa: PTH114, PTH115
                yield f"{name} is no longer a link to {entry['link']}"
        elif "reference" not in entry and os.path.islink(path):  # noqa: PTH114
            yield f"{name} has become a link"
        elif (size := file_size(path)) != entry["size"]:
            of = entry.get("reference", name)
            yield f"{of} is missing" if size < 0 else f"{of} has {size} bytes, not {entry['size']}"


def remove_tree(folder: Path) -> None:
    """Remove a folder and all that is in it, whatever its permissions; links are not followed.

    An artifact may itself be a link into another store.
    """
    if folder.is_symlink():
        folder.unlink()
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:
        for base, _, files in os.walk(folder):
            Path(base).chmod(0o700)
            for name in files if sys.platform == "win32" else ():
                Path(base, name).chmod(stat.S_IWRITE)
        shutil.rmtree(folder)
    except FileNotFoundError:
        if folder.exists():  # someone else removes it too, and was faster with a part of it
            remove_tree(folder)


def freed_bytes(folder: Path) -> int:
    """Return the bytes that removing a folder gives back: files with no other hard link."""
    total = 0
    for base, _, files in os.walk(folder):
        for name in files:
            found = Path(base, name).lstat()
            total += found.st_size if found.st_nlink == 1 else 0
    return total
