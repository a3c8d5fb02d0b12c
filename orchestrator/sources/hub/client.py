"""The one place that asks the Hub to read, through huggingface_hub's session and credentials.

Imported lazily, function by function: the client costs half a second. What it is answered passes
:mod:`orchestrator.sources.hub.answers`; the client itself parses none of it.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urljoin, urlsplit

from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, OrchestrateError
from orchestrator.sources.attended_stream import Attended, TooLateError
from orchestrator.sources.choose_model_files import HubFile, is_weights
from orchestrator.sources.http_client import without_secrets
from orchestrator.sources.hub import answers
from orchestrator.sources.hub.answers import RepositoryAnswer
from orchestrator.sources.hub.read_errors import (
    RefusedError,
    Where,
    causes,
    is_transport,
    translate,
)
from orchestrator.sources.hub.resumable_download import Body, retrying

Translate = Callable[[BaseException, Where], OrchestrateError | None]

_log = logging.getLogger(__name__)

_TIMEOUT = 10.0  # seconds of silence; a dead route must not hang a run
_FULL_COMMIT = re.compile(r"[0-9a-f]{40}")
_NEXT = re.compile(r'<([^<>]{1,4000})>;\s*rel="next"')
_CODINGS = ("", "identity", "gzip", "deflate")


class Head(Protocol):
    """What of an answer comes before its body, as the client's HTTP library has it."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name in any case."""


@dataclass(frozen=True)
class Answer:
    """A good answer that is being read."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


def where_is(repo: str, revision: str, repo_type: str) -> Where:
    """What is asked for, at the Hub the environment names now."""
    return Where(endpoint(), repo, repo_type, revision)


_ADDRESS = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")


def endpoint() -> str:
    """The Hub the environment names now.

    Raises:
        EnvironmentProblem: It names none.
    """
    named = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if not _ADDRESS.fullmatch(named) or not _names_host(named):
        raise EnvironmentProblem(
            f"HF_ENDPOINT is {named!r}, which is not the address of a server.",
            "Give it one such as https://huggingface.co, or unset it.",
        )
    return named


def _names_host(address: str) -> bool:
    """Whether host and port of an address are such as there may be."""
    try:
        parts = urlsplit(address)
        return (parts.port or 1) > 0 and bool((parts.hostname or "").encode("idna"))
    except ValueError:
        return False


@contextmanager
def explained(where: Where, tell: Translate = translate) -> Iterator[None]:
    """Turn what the client raises into one sentence and what to do.

    Args:
        where: What was asked for.
        tell: Says what an error means; None when it does not know.
    """
    try:
        yield
    except OrchestrateError:
        raise
    except Exception as error:
        # The client wraps what stops it, such as Ctrl-C.
        ours = (one for one in causes(error) if isinstance(one, OrchestrateError))
        known = next(ours, None) or tell(error, where)
        if known is None:
            raise
        raise known from error


def repo_info(where: Where, *, files: bool = False) -> RepositoryAnswer:
    """Ask for a revision's commit and, with ``files``, each file's size and digests."""
    with explained(where):
        return retrying(partial(ask_info, where, files=files))


def ask_info(where: Where, *, files: bool) -> RepositoryAnswer:
    """As :func:`repo_info`, once, for callers that explain errors themselves."""
    from huggingface_hub.utils._validators import validate_repo_id  # noqa: PLC0415 - heavy

    validate_repo_id(where.repo)
    url = f"{api(where)}/revision/{quote(where.revision, safe='')}"
    url += "?blobs=true" if files else ""
    commit = where.revision if _FULL_COMMIT.fullmatch(where.revision) else ""
    return answers.repository(where, url, _document(where, url)[0], commit)


def listing(where: Where) -> tuple[HubFile, ...]:
    """All files of a commit; of the tree where a Hub tells no sizes in its overview."""
    files = repo_info(where, files=True).files
    if files is not None:
        return files
    _log.warning("%s tells no sizes of %s: asking for its tree", where.shown, where.repo)
    url = f"{api(where)}/tree/{where.revision}?recursive=true&expand=false"
    with explained(where):
        return answers.listing(where, url, _pages(where, url))


def _pages(where: Where, url: str) -> Iterator[Sequence[HubFile]]:
    """A tree, page by page; the next one's address must be the Hub's own, as it gets the token."""
    for address, body in bodies(where, url):
        yield answers.tree(where, address, body)


def bodies(where: Where, url: str) -> Iterator[tuple[str, bytes]]:
    """The pages of a long answer of the API, each with its address, as they are asked for."""
    asked = set[str]()
    while url and url not in asked:
        asked.add(url)
        body, link = retrying(partial(_document, where, url))
        yield url, body
        found = _NEXT.search(link)
        url = _same_origin(where, url, found[1]) if found else ""


def _same_origin(where: Where, url: str, link: str) -> str:
    try:
        following = urljoin(url, link)
        same = urlsplit(following)[:2] == urlsplit(url)[:2]
    except ValueError:
        same = False
    if not same:
        raise answers.strange(where, url, "its next page is at another server")
    return following


def api(where: Where) -> str:
    """Where the API tells of a repository."""
    return f"{where.endpoint}/api/{where.repo_type}s/{where.repo}"


def _document(where: Where, url: str) -> tuple[bytes, str]:
    """A whole answer of the API, and its header Link."""
    data = bytearray()
    with asked(where, url, {}, answers.MOST_JSON_SECONDS) as answer:
        for chunk in answer.chunks:
            data += chunk
            answers.require_small(where, url, len(data), answers.MOST_JSON_BYTES)
        return bytes(data), answer.headers.get("Link", "")


@contextmanager
def asked(
    where: Where, url: str, headers: Mapping[str, str], most_seconds: float | None
) -> Iterator[Answer]:
    """Ask for an address of the Hub; the answer is read while the context is open.

    Args:
        where: What it is about.
        url: The address; the user's token goes there, and to no other host behind redirects.
        headers: Further headers.
        most_seconds: How long the answer may take; None for weight files.

    Raises:
        RefusedError: The status brings nothing.
        NetworkProblem: It takes too long.
        EnvironmentProblem: It is no answer of a Hub.
        Exception: What the client raises when there is no answer.
    """
    now = time.monotonic()
    end = None if most_seconds is None else now + most_seconds
    stream: Attended[Head | bytes] = Attended(partial(_exchange, where, url, headers))
    try:
        head = _take(stream, where, url, now + answers.MOST_HEAD_SECONDS)
        _require_good(where, url, head)
        yield Answer(head.status_code, head.headers, _chunks(stream, where, url, end))
    finally:
        stream.close()


def session() -> Any:
    """The client's session, without cookies: a damaged one would spoil every later request.

    Raises:
        EnvironmentProblem: The environment names a proxy or certificates that there cannot be.
    """
    from huggingface_hub import get_session  # noqa: PLC0415 - heavy

    try:
        found = get_session()
    except Exception as error:  # the libraries below have no common one for this
        raise EnvironmentProblem(
            f"The Hub cannot be asked with the proxy or the certificates that the environment "
            f"names ({type(error).__name__}).",
            "Correct or unset HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and SSL_CERT_FILE; a socks "
            "proxy needs the package socksio.",
        ) from error
    found.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return found


def _exchange(where: Where, url: str, headers: Mapping[str, str]) -> Iterator[Head | bytes]:
    """Ask, and yield the answer and then its body as it comes."""
    from huggingface_hub.errors import OfflineModeIsEnabled  # noqa: PLC0415
    from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415

    # A range of a compressed answer is of no use, and a small answer may hide a huge one.
    sent = {**build_hf_headers(library_name="orchestrate"), "Accept-Encoding": "identity"}
    try:
        with session().stream("GET", url, headers={**sent, **headers}, timeout=_TIMEOUT) as answer:
            yield answer
            yield from answer.iter_bytes()
    except (OfflineModeIsEnabled, OSError, OrchestrateError):
        raise
    except UnicodeEncodeError as error:
        raise EnvironmentProblem(
            "The token for the Hub holds characters that no token has.",
            "Correct HF_TOKEN, or log in again with 'hf auth login'.",
        ) from error
    except Exception as error:
        # The libraries below raise a dozen other errors at headers and encodings of odd kinds.
        if is_transport(error):
            raise
        what = f"it cannot be read ({type(error).__name__})"
        raise answers.strange(where, url, what) from error


def _take(stream: Attended[Head | bytes], where: Where, url: str, end: float | None) -> Any:
    try:
        return stream.take(end)
    except TooLateError as error:
        raise NetworkProblem(
            f"The Hub at {where.shown} sends too slowly: {without_secrets(url)} was not "
            "there in time.",
            f"Try again later, or name a mirror in HF_ENDPOINT; {where.kept}",
        ) from error


def _chunks(
    stream: Attended[Head | bytes], where: Where, url: str, end: float | None
) -> Iterator[bytes]:
    while (chunk := _take(stream, where, url, end)) is not None:
        yield chunk


def _require_good(where: Where, url: str, head: Head) -> None:
    status = head.status_code
    if status >= 400:
        raise RefusedError(head)
    if status not in (200, 206):
        raise answers.strange(where, url, f"HTTP {status}")
    coding = head.headers.get("Content-Encoding", "").strip().lower()
    if coding not in _CODINGS:
        raise answers.strange(where, url, "it is compressed in a way nobody asked for")


@contextmanager
def opened(where: Where, path: str, start: int, end: int | None = None) -> Iterator[Body]:
    """Ask for bytes ``start`` to ``end`` of a file; raises as :func:`asked`."""
    url = _address(where, path)
    headers = {"Range": f"bytes={start}-{end - 1 if end else ''}"} if start or end else {}
    whole = end is None and is_weights(path)
    with asked(where, url, headers, None if whole else answers.MOST_TEXT_SECONDS) as answer:
        first, total = answers.extent(where, url, answer.status, answer.headers, start)
        yield Body(first, total, answer.chunks)


def _address(where: Where, path: str) -> str:
    from huggingface_hub import hf_hub_url  # noqa: PLC0415 - heavy

    return hf_hub_url(
        where.repo,
        path,
        repo_type=where.repo_type,
        revision=where.revision,
        endpoint=where.endpoint,
    )


def by_xet(where: Where, path: str, target: Path, size: int) -> None:
    """Bring a file that is too large for the Hub's plain HTTP, through Xet, its newer storage.

    Raises:
        EnvironmentProblem: The Hub does not have it there.
        Exception: What the client raises.
    """
    from huggingface_hub import get_hf_file_metadata  # noqa: PLC0415 - heavy
    from huggingface_hub.file_download import xet_get  # noqa: PLC0415
    from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415

    headers = build_hf_headers(library_name="orchestrate")
    url = _address(where, path)
    about = get_hf_file_metadata(url, timeout=_TIMEOUT, headers=headers, endpoint=where.endpoint)
    if about.xet_file_data is None:
        raise answers.strange(where, url, "it is too large for HTTP and not kept in Xet")
    xet_get(
        incomplete_path=target,
        xet_file_data=about.xet_file_data,
        headers=headers,
        expected_size=size,
    )


def read_range(where: Where, path: str, start: int, end: int) -> tuple[bytes, int]:
    """Read bytes ``start`` to ``end`` of a file, and its size; asks again where that helps."""

    def read() -> tuple[bytes, int]:
        with opened(where, path, start, end) as body:
            return _cut(body, start, end)

    with explained(where):
        return retrying(read)


def _cut(body: Body, start: int, end: int) -> tuple[bytes, int]:
    """Read up to ``end`` and no further, also from a server that ignores ranges."""
    data = bytearray()
    position = body.start
    for chunk in body.chunks:
        data += chunk[max(0, start - position) :]
        position += len(chunk)
        if position >= end:
            break
    return bytes(data[: end - start]), body.total


def links_work(root: Path) -> bool:
    """Tell whether the cache can hold symbolic links; without them it holds files."""
    from huggingface_hub.file_download import are_symlinks_supported  # noqa: PLC0415 - heavy

    return bool(are_symlinks_supported(root))
