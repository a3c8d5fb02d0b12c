"""The Hub client's cache on disk: where things lie, what is there, whether it is right.

Layout (huggingface_hub's documentation, "Understand caching"): ``TYPEs--ORG--NAME/`` holds
``blobs/<etag>``, ``snapshots/<commit>/<path>`` (links to blobs, or files where links are not
possible) and ``refs/<branch>``. An etag is the SHA-256 of an LFS file, else the git blob id.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import units
from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.step_values import Progress
from orchestrator.sources.choose_model_files import HubFile, safe_path

_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class CachedRepo:
    """One repository's folder in the cache; values only, it may not exist."""

    root: Path
    repo: str
    repo_type: str = "model"

    @property
    def name(self) -> str:
        """The name of the repository's folder."""
        return f"{self.repo_type}s--" + self.repo.replace("/", "--")

    def snapshot(self, commit: str) -> Path:
        """The folder that shows the files of a commit under their own names."""
        return self.root / self.name / "snapshots" / commit

    def blob(self, etag: str) -> Path:
        """The file that holds the content with an etag."""
        return self.root / self.name / "blobs" / etag

    def lock(self, etag: str) -> Path:
        """The lock the client holds while it writes a blob."""
        return self.root / ".locks" / self.name / f"{etag}.lock"

    def ref(self, revision: str) -> Path:
        """The file that holds the commit of a branch or tag when it was last fetched."""
        return self.root / self.name / "refs" / revision


@dataclass(frozen=True)
class Corrupt:
    """A file whose content is not what the Hub lists; ``got`` is empty if it is missing."""

    file: HubFile
    expected: str
    got: str


class Meter:
    """Adds up bytes from several threads and reports them.

    Args:
        total: Bytes in all.
        report: Receives a Progress in unit "B"; called under a lock, from any thread.
        note: What is being done.
    """

    def __init__(self, total: int, report: Report, note: str) -> None:
        self._total, self._report, self._note = total, report, note
        self._done = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count ``count`` more bytes (fewer, if negative) as done."""
        with self._lock:
            self._done += count
            self._report(Progress(self._done, self._total, "B", self._note))

    def finish(self) -> None:
        """Count everything as done."""
        self.add(self._total - self._done)


def cache_root(cache_dir: Path | None) -> Path:
    """The cache folder, from the environment as it is now and not as it was at import."""
    if cache_dir is not None:
        return cache_dir
    if hub := os.environ.get("HF_HUB_CACHE"):
        return _expanded(hub)
    return hub_home() / "hub"


def hub_home() -> Path:
    """Where the client keeps all it keeps, its token among it (its manual's HF_HOME)."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(os.environ.get("HF_HOME") or f"{base}/huggingface")


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser().absolute()


def cached_commit(cache: CachedRepo, revision: str) -> str:
    """The commit a branch had when it was last fetched.

    Raises:
        EnvironmentProblem: It was never fetched.
    """
    ref = cache.ref(revision)
    if safe_path(revision) and ref.is_file():
        return ref.read_text("ascii").strip()
    raise EnvironmentProblem(
        f"{revision!r} of {cache.repo} cannot be resolved to a commit offline.",
        "Write the full commit in the recipe, or run once without --offline.",
    )


def note_commit(cache: CachedRepo, revision: str, commit: str) -> None:
    """Write down a branch's commit where :func:`cached_commit` looks for it."""
    if not safe_path(revision):
        return
    ref = cache.ref(revision)
    ref.parent.mkdir(parents=True, exist_ok=True)
    fresh = ref.with_name(f"{ref.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    fresh.write_text(commit, "ascii")
    fresh.replace(ref)


def cached_listing(cache: CachedRepo, commit: str) -> tuple[HubFile, ...]:
    """List what is cached of a commit; digests are those that name the blobs.

    Raises:
        EnvironmentProblem: Nothing is cached.
    """
    folder = cache.snapshot(commit)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        raise EnvironmentProblem(
            f"{cache.repo} at {commit[:12]} is not in the Hub cache, and offline it cannot be "
            "fetched.",
            "Run once without --offline, or copy the cache of a machine that has it.",
        )
    return tuple(_cached_file(path, path.relative_to(folder).as_posix()) for path in paths)


def _cached_file(path: Path, name: str) -> HubFile:
    etag = path.resolve().name
    sha256 = etag if _SHA256.fullmatch(etag) else None
    blob_id = etag if _SHA1.fullmatch(etag) else None
    return HubFile(name, path.stat().st_size, sha256, blob_id)


def missing(folder: Path, files: Sequence[HubFile]) -> tuple[HubFile, ...]:
    """The files that are not in a snapshot folder in their full size."""

    def there(file: HubFile) -> bool:
        path = folder / file.path
        return path.is_file() and path.stat().st_size == file.size

    return tuple(file for file in files if not there(file))


def require_cached(cache: CachedRepo, commit: str, files: Sequence[HubFile]) -> Path:
    """Return the snapshot folder if it has all ``files``.

    Raises:
        EnvironmentProblem: Some are missing; it names up to three.
    """
    folder = cache.snapshot(commit)
    lacking = missing(folder, files)
    if not lacking:
        return folder
    names = ", ".join(file.path for file in lacking[:3]) + (", ..." if len(lacking) > 3 else "")
    raise EnvironmentProblem(
        f"{units.plural(len(lacking), 'file')} of {cache.repo} at {commit[:12]} not in the Hub "
        f"cache, and offline nothing can be fetched: {names}.",
        "Run once without --offline, or copy the cache of a machine that has them.",
    )


def corrupt(
    folder: Path, files: Sequence[HubFile], workers: int, meter: Meter
) -> tuple[Corrupt, ...]:
    """Hash files of a snapshot and return those that differ from the Hub's listing."""
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        found = pool.map(lambda file: _compare(folder / file.path, file, meter), files)
        return tuple(result for result in found if result is not None)


def _compare(path: Path, file: HubFile, meter: Meter) -> Corrupt | None:
    expected = file.sha256 or file.blob_id or f"{file.size} bytes"
    if not path.is_file():
        return Corrupt(file, expected, "")
    size = path.stat().st_size
    if size != file.size:
        return Corrupt(file, f"{file.size} bytes", f"{size} bytes")
    if not (file.sha256 or file.blob_id):
        return None  # a cache without links keeps no digests; the size is all there is
    got = content_digest(path, git=file.sha256 is None, count=meter.add)
    return None if got == expected else Corrupt(file, expected, got)


def content_digest(path: Path, *, git: bool, count: Callable[[int], None]) -> str:
    """Digest a file in constant memory: SHA-256, or git's blob id (SHA-1 with a header)."""
    digest = hashlib.sha1(usedforsecurity=False) if git else hashlib.sha256()
    if git:
        digest.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            count(len(chunk))
    return digest.hexdigest()


def discard(folder: Path, files: Sequence[HubFile]) -> None:
    """Remove files of a snapshot and the blobs behind them, so that they are fetched again.

    Links may lead anywhere: only what lies in the cache is removed.
    """
    cache = folder.parents[2].resolve()  # CACHE/REPOSITORY/snapshots/COMMIT
    for file in files:
        link = folder / file.path
        for path in (link.resolve(), link.parent.resolve() / link.name):
            if path.is_relative_to(cache):
                path.unlink(missing_ok=True)


def still_corrupt(repo: str, bad: Corrupt, retried: bool) -> StepError:
    """The error for a file whose content is wrong, after what could be done about it."""
    again = "fetched twice and both times" if retried else "in the Hub cache and"
    return StepError(
        f"{bad.file.path} of {repo} is {again} wrong: expected {bad.expected}, "
        f"got {bad.got or 'no file'}.",
        "A proxy or the disk may change data; try another network or another HF_HUB_CACHE."
        if retried
        else "Run once without --offline to fetch it again.",
    )
