"""Files that are elsewhere, read in ranges: enough for a header, without the rest."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON
from orchestrator.sources import archive, http_client
from orchestrator.sources.http_client import Answer

ReadRange = Callable[[int, int], tuple[bytes, int]]

# One request brings the header of most files; a vocabulary of 150,000 words needs a few.
CHUNK = 1 << 20
MOST_SECONDS = 120.0


class Ranged(io.RawIOBase):
    """A seekable, read-only file of which only the ranges that are read are fetched."""

    def __init__(self, read_range: ReadRange) -> None:
        self._read_range = read_range
        self._position = 0
        self._start, self.size = read_range(0, CHUNK)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the cursor; costs no request."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}
        self._position = max(0, origin[whence] + offset)
        return self._position

    def tell(self) -> int:
        """The cursor."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the cursor on."""
        end = min(self._position + len(buffer), self.size)
        if end <= self._position:
            return 0
        if end <= len(self._start):
            data = self._start[self._position : end]
        else:
            data = self._read_range(self._position, end)[0]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@contextmanager
def opened(
    source: Mapping[str, JSON], context: Mapping[str, JSON]
) -> Iterator[tuple[BinaryIO, int]]:
    """The one file of a resolved source as a stream, and its size in bytes.

    Args:
        source: The identity of a source that is one file: ``hub`` with ``file``, ``pypi``,
            ``url`` or ``path``.
        context: Its context (``url``, ``path``).

    Raises:
        EnvironmentProblem: It cannot be reached.
        StepError: There is no such file, or its server gives no ranges.
    """
    with _outer(source, context) as (stream, size):
        member = source["file"] if source["kind"] == "pypi" else source.get("member")
        if not member:
            yield stream, size
            return
        with archive.sound(f"the archive of {member}"), ZipFile(stream) as bundle:
            if member not in bundle.namelist():
                raise StepError(f"there is no file {member!r} in the archive")
            with bundle.open(member) as inner:
                yield inner, bundle.getinfo(member).file_size  # type: ignore[misc]


@contextmanager
def _outer(
    source: Mapping[str, JSON], context: Mapping[str, JSON]
) -> Iterator[tuple[BinaryIO, int]]:
    if source["kind"] == "path":
        path = Path(context["path"]) / next(iter(source["files"]))
        with path.open("rb") as file:
            yield file, path.stat().st_size
        return
    ranged = Ranged(_reader(source, context))
    with io.BufferedReader(ranged, CHUNK) as stream:
        yield stream, ranged.size


def download_size(source: Mapping[str, JSON], context: Mapping[str, JSON]) -> int:
    """How many bytes fetching a resolved single-file source brings; 0 for local files."""
    return 0 if source["kind"] == "path" else Ranged(_reader(source, context)).size


def _reader(source: Mapping[str, JSON], context: Mapping[str, JSON]) -> ReadRange:
    if source["kind"] == "hub":
        from orchestrator.sources.hub import client  # noqa: PLC0415 - its library is heavy

        where = client.where_is(source["repo"], source["commit"], source["repo_type"])
        return partial(client.read_range, where, source["file"])
    if source["kind"] == "pypi":
        from orchestrator.sources import pypi  # noqa: PLC0415 - heavy

        url = pypi.address(source["package"], source["version"], "wheel", source["sha256"])
    else:
        url = context["url"]
    return partial(http_range, url)


def http_range(url: str, start: int, end: int) -> tuple[bytes, int]:
    """Bytes ``start`` to ``end`` of a file on a web server, and its size (RFC 9110, 14).

    Raises:
        NetworkProblem: The server cannot be reached.
        StepError: It has no such file, or does not serve ranges.
    """
    headers = {"Range": f"bytes={start}-{end - 1}"}
    with http_client.asked(url, headers=headers, most_seconds=MOST_SECONDS) as answer:
        answer.require(200, 206)
        return _start(answer, end - start), _whole_size(answer, start)


def _start(answer: Answer, count: int) -> bytes:
    data = bytearray()
    for chunk in answer.body:
        data += chunk
        if len(data) >= count:
            break
    return bytes(data[:count])


def _whole_size(answer: Answer, start: int) -> int:
    """How long the file is of which a part was asked for, beginning at a byte."""
    ranged = answer.status == 206
    if not ranged and start:
        raise StepError(f"{answer.name} cannot be read in parts: its server ignores ranges")
    stated = answer.headers.get("Content-Range", "").rpartition("/")[2] if ranged else ""
    size = int(stated) if stated.isascii() and stated.isdigit() else answer.length
    if not size:
        raise StepError(
            f"{answer.name} cannot be read in parts: its server does not say how long it is"
        )
    return size
