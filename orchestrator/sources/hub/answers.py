"""The gate for all that a Hub, or a mirror of one, says: checked values, or one sentence.

Nothing of an answer reaches a path, a request or a reader but through here. The limits are far
from what the Hub itself sends: a listing of 10,000 files has 3 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from orchestrator.base import units
from orchestrator.base.errors import EnvironmentProblem
from orchestrator.sources.choose_model_files import HubFile, safe_path
from orchestrator.sources.http_client import without_secrets
from orchestrator.sources.hub.read_errors import Where

# What is no weight file: how long an answer may be, and how long it may take.
MOST_JSON_BYTES = 64 << 20
MOST_JSON_SECONDS = 120.0
MOST_TEXT_BYTES = 1 << 30
MOST_TEXT_SECONDS = 1800.0
# Until the headers of any answer are there, the handshake and redirects included.
MOST_HEAD_SECONDS = 60.0
MOST_FILES = 100_000
_LONGEST_PATH = 1000
_LONGEST_NAME = 255  # bytes; what file systems take
_MOST_SIZE = 1 << 50

Value = TypeVar("Value")


def strange(where: Where, url: str, what: str) -> EnvironmentProblem:
    """The error for an answer that is none of a Hub's.

    Args:
        where: What it was to be about.
        url: What was asked for.
        what: What is wrong with the answer; nothing of the answer itself.
    """
    return EnvironmentProblem(
        f"What {where.shown} answers for {where.repo} is not a Hub's answer: "
        f"{without_secrets(url)}: {what}.",
        "Check HF_ENDPOINT, and whether a proxy or a login page is in between.",
    )


def _path(path: str) -> str:
    parts = path.split("/")
    if not safe_path(path) or len(path) > _LONGEST_PATH:
        raise ValueError(f"{path[:100]!r} is not a path inside a folder")
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise ValueError(f"{path[:100]!r}... has a name that no file can have")
    return path


_Sha1 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Size = Annotated[int, Field(ge=0, le=_MOST_SIZE)]
_Path = Annotated[str, AfterValidator(_path)]


class _Said(BaseModel):
    """A part of an answer; what is not needed of it is not looked at."""

    model_config = ConfigDict(strict=True, frozen=True)


class _Stored(_Said):
    sha256: _Sha256
    size: _Size


class _Sibling(_Said):
    rfilename: _Path
    size: _Size | None = None
    blob_id: Annotated[_Sha1 | None, Field(alias="blobId")] = None
    lfs: _Stored | None = None

    def file(self) -> HubFile | None:
        if self.lfs is not None:
            return HubFile(self.rfilename, self.lfs.size, self.lfs.sha256, None)
        if self.size is None or self.blob_id is None:
            return None
        return HubFile(self.rfilename, self.size, None, self.blob_id)


class _Info(_Said):
    sha: _Sha1
    private: bool | None = None
    gated: bool | str | None = None
    card: Annotated[Any, Field(alias="cardData")] = None
    siblings: Annotated[tuple[_Sibling, ...], Field(max_length=MOST_FILES)] = ()


class _Pointer(_Said):
    oid: _Sha256
    size: _Size


class _Entry(_Said):
    type: str
    path: _Path
    oid: _Sha1
    size: _Size = 0
    lfs: _Pointer | None = None

    def file(self) -> HubFile:
        if self.lfs is not None:
            return HubFile(self.path, self.lfs.size, self.lfs.oid, None)
        return HubFile(self.path, self.size, None, self.oid)


class _Dated(_Said):
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT[0-9:.]{5,15}Z$")]


class _DatedEntry(_Said):
    type: str
    path: _Path
    last: Annotated[_Dated | None, Field(alias="lastCommit")] = None


class _Commit(_Dated):
    id: _Sha1


_INFO = TypeAdapter(_Info)
_DATES = TypeAdapter(Annotated[tuple[_DatedEntry, ...], Field(max_length=MOST_FILES)])
_COMMITS = TypeAdapter(Annotated[tuple[_Commit, ...], Field(max_length=MOST_FILES)])
_TREE = TypeAdapter(Annotated[tuple[_Entry, ...], Field(max_length=MOST_FILES)])


@dataclass(frozen=True)
class RepositoryAnswer:
    """What a Hub says of a repository at a commit.

    Attributes:
        commit: The full commit.
        private: Whether only some may read it.
        gated: Whether readers must first accept terms.
        card: The metadata of its card, of any shape inside; empty when it tells none.
        files: Its files; None when sizes or digests were asked for and are not told.
    """

    commit: str
    private: bool
    gated: bool
    card: Mapping[str, Any]
    files: tuple[HubFile, ...] | None


def repository(where: Where, url: str, body: bytes, commit: str) -> RepositoryAnswer:
    """Check an answer of ``/api/models/NAME/revision/REVISION``.

    Args:
        where: What it was to be about, for errors.
        url: What was asked for, for errors.
        body: The answer.
        commit: Which commit was asked for; empty where it was a branch.

    Raises:
        EnvironmentProblem: It is of another shape, or about another commit.
    """
    said = _checked(_INFO, where, url, body)
    if commit and said.sha != commit:
        raise strange(where, url, f"it is about the commit {said.sha}")
    files = [one.file() for one in said.siblings]
    known = None if None in files else tuple(one for one in files if one is not None)
    if known is not None:
        _require_distinct(where, url, [one.path for one in known])
    card = said.card if isinstance(said.card, dict) else {}
    return RepositoryAnswer(said.sha, bool(said.private), bool(said.gated), card, known)


def tree(where: Where, url: str, body: bytes) -> tuple[HubFile, ...]:
    """Check an answer of ``/api/models/NAME/tree/COMMIT``; raises as :func:`repository`."""
    said = _checked(_TREE, where, url, body)
    return tuple(one.file() for one in said if one.type == "file")


def dates(where: Where, url: str, body: bytes) -> dict[str, str]:
    """When each file was last changed, by path, of a tree with ``expand=true``."""
    said = _checked(_DATES, where, url, body)
    return {one.path: one.last.date for one in said if one.type == "file" and one.last}


def commits(where: Where, url: str, body: bytes) -> tuple[tuple[str, str], ...]:
    """The commits of ``/api/models/NAME/commits/REVISION`` with their times, newest first."""
    return tuple((one.id, one.date) for one in _checked(_COMMITS, where, url, body))


def listing(where: Where, url: str, pages: Iterator[Sequence[HubFile]]) -> tuple[HubFile, ...]:
    """One listing of several pages of a tree; raises as :func:`repository`."""
    files: list[HubFile] = []
    for page in pages:
        files += page
        if len(files) > MOST_FILES:
            raise strange(where, url, f"it lists more than {MOST_FILES:,} files")
    _require_distinct(where, url, [one.path for one in files])
    return tuple(files)


def _require_distinct(where: Where, url: str, paths: Sequence[str]) -> None:
    """No path twice, and no file that is another one's folder."""
    seen = set(paths)
    if len(seen) != len(paths):
        raise strange(where, url, "it lists a path twice")
    for path in paths:
        while path := path.rpartition("/")[0]:
            if path in seen:
                raise strange(where, url, f"it lists {path!r} as a file and as a folder")


def _checked(shape: TypeAdapter[Value], where: Where, url: str, body: bytes) -> Value:
    try:
        return shape.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        what = f"{place}: {said}" if place else said
        raise strange(where, url, what if what.isprintable() else "it cannot be read") from error


_EXTENT = re.compile(r"bytes ([0-9]{1,16})-([0-9]{1,16})/([0-9]{1,16})")
_LENGTH = re.compile(r"[0-9]{1,16}")
_PLAIN = ("", "identity")


def extent(
    where: Where, url: str, status: int, headers: Mapping[str, str], start: int
) -> tuple[int, int]:
    """The first byte of an answer and the file's size, 0 when it is not told (RFC 9110, 14.4).

    Args:
        where: What it was to be about, for errors.
        url: What was asked for, for errors.
        status: 200, or 206 for a part.
        headers: Of the answer.
        start: The first byte that was asked for.

    Raises:
        EnvironmentProblem: A part does not say which, or is another one.
    """
    encoded = headers.get("Content-Encoding", "").strip().lower() not in _PLAIN
    if status == 200:
        length = headers.get("Content-Length", "").strip()
        return 0, 0 if encoded or not _LENGTH.fullmatch(length) else int(length)
    found = _EXTENT.fullmatch(headers.get("Content-Range", "").strip())
    if status != 206 or not found or encoded:
        raise strange(where, url, "a part of a file does not say which")
    first, last, total = (int(number) for number in found.groups())
    if first != start or not first <= last < total <= _MOST_SIZE:
        raise strange(where, url, f"bytes {first} to {last} of {total}, and not from {start} on")
    return first, total


def require_small(where: Where, url: str, size: int, most: int) -> None:
    """Refuse what is too long for what it is.

    Raises:
        EnvironmentProblem: It is longer than ``most`` bytes.
    """
    if size > most:
        raise strange(where, url, f"more than {units.size(most)} for what is no weight file")
