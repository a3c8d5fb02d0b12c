"""One place that fsspec reaches: small files read and made, large ones streamed and sent."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.base import safe_text
from orchestrator.base.errors import EnvironmentProblem, OrchestrateError
from orchestrator.engine.shared_cache.places import Place
from orchestrator.sources.attended_stream import Attended, TooLateError, within

CHUNK_BYTES = 4 << 20
PARTS = "v1/parts"
_BATCH = 128  # answers that are awaited together
# A rename is what makes a file whole there; elsewhere a file appears when all of it was sent.
_DISKS = frozenset({"file", "local"})
_SHELLS = frozenset({"sftp", "ssh"})
_EXCLUSIVE = frozenset({"s3", "s3a", "gs", "gcs"})  # take "only if there is none yet"

Value = TypeVar("Value")


class PlaceProblem(EnvironmentProblem):
    """A cache did not answer, or refused; the text says why."""


@dataclass(frozen=True)
class Found:
    """A file: its name below the place, its bytes, and when it was written by its own clock."""

    name: str
    size: int
    modified: float


def knows(scheme: str) -> bool:
    """Whether there is a library for addresses that begin so, installed or not."""
    import fsspec  # noqa: PLC0415 - heavy, and only where there is a cache

    return scheme in fsspec.available_protocols()


class RemoteFolder:
    """A place, reached when it is first asked.

    Every method raises :class:`PlaceProblem` where the place does not do what it is asked, and
    ``Interrupted`` when the run is interrupted.

    Args:
        place: Where it is.
        patience: Seconds without an answer after which it is given up.
    """

    def __init__(self, place: Place, patience: float) -> None:
        self.place, self._patience = place, patience

    @cached_property
    def _reached(self) -> tuple[Any, str]:
        import fsspec  # noqa: PLC0415 - heavy, and only where there is a cache

        protocol = self.place.url.partition("://")[0]
        given: dict[str, Any] = {"skip_instance_cache": True}
        if protocol in _DISKS:
            given["auto_mkdir"] = True
        elif protocol not in _SHELLS:
            given["use_listings_cache"] = False
        elif "known_hosts" not in fsspec.config.conf.get(protocol, {}):
            given["known_hosts"] = ()  # those of the user; by itself sshfs checks no host's key
        fs, root = fsspec.core.url_to_fs(self.place.url, **given)
        return fs, str(root).rstrip("/")

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """The content of small files, those that there are; many are asked for at once."""
        found: dict[str, bytes] = {}
        for begin in range(0, len(names), _BATCH):
            found |= self._soon(partial(self._read, names[begin : begin + _BATCH]))
        return found

    def _read(self, names: Sequence[str]) -> dict[str, bytes]:
        fs, root = self._reached
        paths = {f"{root}/{name}": name for name in names}
        answers = fs.cat(list(paths), on_error="return")
        for answer in answers.values():
            if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError):
                raise answer
        return {paths[path]: data for path, data in answers.items() if isinstance(data, bytes)}

    def size(self, name: str) -> int | None:
        """The bytes of a file; None where there is none."""
        return self._soon(lambda: self._size(name))

    def _size(self, name: str) -> int | None:
        fs, root = self._reached
        try:
            return int(fs.info(f"{root}/{name}")["size"])
        except FileNotFoundError:
            return None

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a file as they come; none where there is no such file."""
        reading = Attended(lambda: self._pieces(name))
        try:
            while (piece := self._attended(lambda: reading.take(self._end()))) is not None:
                yield piece
        finally:
            reading.close()

    def _pieces(self, name: str) -> Iterator[bytes]:
        fs, root = self._reached
        try:
            with fs.open(f"{root}/{name}", "rb", block_size=2 * CHUNK_BYTES) as file:
                while piece := file.read(CHUNK_BYTES):
                    yield piece
        except FileNotFoundError:
            return

    def put(self, source: Path, name: str) -> None:
        """Send a file; it is there whole or not at all. As slow as the place is."""

        def send() -> None:
            fs, root = self._reached
            if self._renames:
                part = self._part(root)
                fs.put_file(str(source), part)
                self._rename(part, f"{root}/{name}")
            else:
                fs.put_file(str(source), f"{root}/{name}")

        self._attended(send)

    def create(self, name: str, data: bytes) -> bool:
        """Make a small file unless there is one; whether it was made."""
        return self._soon(lambda: self._create(name, data))

    def _create(self, name: str, data: bytes) -> bool:
        fs, root = self._reached
        path = f"{root}/{name}"
        try:
            if self._protocols & _EXCLUSIVE:
                return _create_exclusively(fs, path, data)
            if fs.exists(path):
                return False
            part = self._part(root) if self._renames else path
            fs.pipe_file(part, data)
            if self._renames:
                self._rename(part, path, first=True)
        except FileExistsError:
            return False
        return True

    def move(self, name: str, to: str) -> None:
        """Give a file another name; what is gone already need not be moved."""

        def move() -> None:
            fs, root = self._reached
            target = f"{root}/{to}"
            try:
                if self._renames:
                    fs.makedirs(target.rpartition("/")[0], exist_ok=True)
                fs.mv(f"{root}/{name}", target)
            except FileNotFoundError:
                return

        self._attended(move)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; what is gone already need not be removed."""
        for name in names:
            self._soon(partial(self._remove, name))

    def _remove(self, name: str) -> None:
        fs, root = self._reached
        try:
            fs.rm_file(f"{root}/{name}")
        except FileNotFoundError:
            return

    def files(self, under: str) -> list[Found]:
        """All files below a folder."""
        return self._attended(lambda: self._files(under))

    def _files(self, under: str) -> list[Found]:
        fs, root = self._reached
        try:
            listed = fs.find(f"{root}/{under}", detail=True)
        except FileNotFoundError:
            return []
        start = len(root) + 1
        return [
            Found(path[start:], int(info["size"]), _modified(info))
            for path, info in listed.items()
            if path.startswith(f"{root}/{under}/")  # some servers list an empty folder itself
        ]

    def now(self) -> float:
        """The time by the place's own clock, in seconds since the epoch."""
        name = f"{PARTS}/{uuid.uuid4().hex}"
        self._soon(lambda: self._pipe(name, b"."))
        seen = next((one.modified for one in self.files(PARTS) if one.name == name), 0.0)
        self.remove([name])
        return seen

    def _pipe(self, name: str, data: bytes) -> None:
        fs, root = self._reached
        fs.pipe_file(f"{root}/{name}", data)

    # -- how it is asked -------------------------------------------------------------------

    @property
    def _protocols(self) -> frozenset[str]:
        protocol = self._reached[0].protocol
        return frozenset((protocol,) if isinstance(protocol, str) else protocol)

    @property
    def _renames(self) -> bool:
        return bool(self._protocols & (_DISKS | _SHELLS))

    def _part(self, root: str) -> str:
        return f"{root}/{PARTS}/{uuid.uuid4().hex}"

    def _rename(self, part: str, path: str, *, first: bool = False) -> None:
        """Put a part in its place; ``first``: unless there is one, where that can be asked."""
        fs, _ = self._reached
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if first and self._protocols & _DISKS:
            try:
                fs.link(part, path)
            finally:
                fs.rm_file(part)
        else:
            fs.mv(part, path)

    def _end(self) -> float:
        return time.monotonic() + self._patience

    def _soon(self, work: Callable[[], Value]) -> Value:
        """What the place answers within the time that it has."""
        return self._attended(lambda: within(self._patience, lambda: (work(),))[0])

    def _attended(self, work: Callable[[], Value]) -> Value:
        """What is asked, with any failure of fsspec's many libraries as one kind of error."""
        try:
            return work()
        except TooLateError:
            raise self._problem(f"no answer within {self._patience:g} s") from None
        except OrchestrateError:
            raise
        except Exception as error:
            raise self._problem(_why(error)) from error

    def _problem(self, why: str) -> PlaceProblem:
        return PlaceProblem(f"the shared cache {self.place.shown}: {why}")


def _create_exclusively(fs: Any, path: str, data: bytes) -> bool:
    try:
        fs.pipe_file(path, data, mode="create")
    except OSError:
        if fs.exists(path):  # each library has another error for that
            return False
        raise
    return True


def _modified(info: Mapping[str, Any]) -> float:
    """When a file was written, by whichever name its file system has for that; 0 if unknown."""
    for name in ("LastModified", "mtime", "updated", "last_modified", "created"):
        said = info.get(name)
        if isinstance(said, str):
            said = datetime.fromisoformat(said.replace("Z", "+00:00"))
        if said is not None:
            return said.timestamp() if isinstance(said, datetime) else float(said)
    return 0.0


def _why(error: Exception) -> str:
    """What went wrong, in one line without an address that may hold a password."""
    from orchestrator.sources.http_client import without_secrets  # noqa: PLC0415 - heavy

    said = safe_text.line(str(error).strip().partition("\n")[0])[:200]
    words = [without_secrets(word) if "://" in word else word for word in said.split()]
    return " ".join(words) or type(error).__name__
