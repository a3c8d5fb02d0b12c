"""Files that are elsewhere, read in ranges: enough for a header, without the rest."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from zipfile import ZipFile

from orchestrator.base.errors import NetworkProblem, StepError
from orchestrator.base.step_values import JSON
from orchestrator.sources import archive, retry_after

if TYPE_CHECKING:
    import requests

ReadRange = Callable[[int, int], tuple[bytes, int]]

# One request brings the header of most files; a vocabulary of 150,000 words needs a few.
CHUNK = 1 << 20
TIMEOUT = 30


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
        EnvironmentProblem: The server cannot be reached.
        StepError: It has no such file, or does not serve ranges.
    """
    import requests  # noqa: PLC0415 - heavy

    headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
    try:
        with requests.get(url, headers=headers, timeout=TIMEOUT, stream=True) as answer:
            return _taken(answer, url, start, end)
    except requests.RequestException as error:
        raise NetworkProblem(
            f"{url} cannot be reached ({type(error).__name__})", "Check the network."
        ) from error


def _taken(answer: requests.Response, url: str, start: int, end: int) -> tuple[bytes, int]:
    if answer.status_code in retry_after.RETRIED_STATUS:
        wait = retry_after.asked(answer.headers) or 0
        raise NetworkProblem(
            f"{url} answers {answer.status_code} {answer.reason}", "Try again later.", wait
        )
    if answer.status_code not in (200, 206):
        raise StepError(f"{url} answers {answer.status_code} {answer.reason}")
    ranged = answer.status_code == 206
    if not ranged and start:
        raise StepError(f"{url} cannot be read in parts: its server ignores ranges")
    headers = answer.headers
    told = headers.get("Content-Range", "").rpartition("/")[2] if ranged else ""
    told = told if told.isdigit() else headers.get("Content-Length", "")
    if not told.isdigit():
        raise StepError(f"{url} cannot be read in parts: its server does not say how long it is")
    data = bytearray()
    for chunk in answer.iter_content(1 << 16):
        data += chunk
        if len(data) >= end - start:
            break
    return bytes(data[: end - start]), int(told)
