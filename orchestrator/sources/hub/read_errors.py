"""What the Hub's client raises, said in one sentence with what to do about it.

The client's classes are imported only when something went wrong. Neither the client's own text
nor any header value is repeated, since they may hold signed addresses.
The meaning of the codes is the Hub's own: ``X-Error-Code`` is RepoNotFound, GatedRepo,
RevisionNotFound or EntryNotFound, and 401 also stands for a missing repository when the
request carried no token.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any
from urllib.parse import unquote

from orchestrator.base import units
from orchestrator.base.errors import (
    EnvironmentProblem,
    NetworkProblem,
    OrchestrateError,
    UsageError,
)
from orchestrator.sources import retry_after

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the last: a limit on file size
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
# What the client and its libraries raise at answers of another shape than they expect.
_MISSED = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
_CLIENT = ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "json")
_LOGIN = "run `hf auth login` or set HF_TOKEN"


@dataclass(frozen=True)
class Where:
    """What was asked for, as error messages name it.

    Attributes:
        needed: Bytes still to come.
        writes: Whether it is published to, and not read.
    """

    endpoint: str
    repo: str
    repo_type: str = "model"
    revision: str = "main"
    needed: int = 0
    writes: bool = False

    @property
    def page(self) -> str:
        """The address of the repository's page."""
        prefix = "" if self.repo_type == "model" else f"{self.repo_type}s/"
        return f"{self.shown}/{prefix}{self.repo}"

    @property
    def shown(self) -> str:
        """The Hub's address without a name and password in it."""
        scheme, mark, rest = self.endpoint.rpartition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"

    @property
    def kept(self) -> str:
        """Half a sentence: what need not be done again."""
        if self.writes:
            return "what has arrived is not sent again."
        return "what has been fetched is kept."


class RefusedError(Exception):
    """An answer with a status that brings nothing; ``response`` is as the client's errors have it.

    Its body is not read: it may be of any size.
    """

    def __init__(self, response: Any) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response

    @property
    def missing(self) -> bool:
        """Whether there is no such repository, or none for this token; they look the same."""
        anonymous = "authorization" not in self.response.request.headers
        return self._code == "RepoNotFound" or (self.response.status_code == 401 and anonymous)

    @property
    def lacks_revision(self) -> bool:
        """Whether there is the repository, but no such revision."""
        return self._code == "RevisionNotFound"

    @property
    def _code(self) -> str:
        return str(self.response.headers.get("X-Error-Code", ""))


class BrokenTransferError(Exception):
    """The connection ended before the answer did; asking again may help."""


def is_transport(error: BaseException) -> bool:
    """Tell whether an error is the network's: no route, refused, dropped, timed out."""
    from huggingface_hub.errors import (  # type: ignore[attr-defined] # noqa: PLC0415 - heavy
        HTTPError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return False
    if isinstance(error, (BrokenTransferError, ConnectionError, TimeoutError)):
        return True
    # HTTPError is that of the client's HTTP library, httpx or httpx2. Its errors of transport
    # have a class of their own; endless redirects and damaged compression do not belong to it.
    library = sys.modules[HTTPError.__module__.partition(".")[0]]
    return isinstance(error, library.TransportError)


def status_of(error: BaseException) -> int | None:
    """The HTTP status an error of the client carries, if it carries one."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def translate(error: BaseException, where: Where) -> OrchestrateError | None:
    """Say what an error means; None when it is not known, and then it is a bug.

    401 and 403 (credentials), 429, 5xx, the network and the disk are problems of the
    environment; 404 is a wrong name in the recipe.
    """
    chain = tuple(causes(error))
    for link in chain:
        if status_of(link) is not None:
            return _http(link, where)
    for link in chain:
        known = _local(link, where)
        if known is not None:
            return known
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from, the outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _http(error: BaseException, where: Where) -> OrchestrateError:
    response: Any = getattr(error, "response", None)
    status = int(response.status_code)
    code = str(response.headers.get("X-Error-Code", ""))
    if status == 401:
        return _unauthorized(where, code, "authorization" in response.request.headers)
    if status == 403:
        return _forbidden(where, code)
    if status == 404:
        return _not_found(where, code, response)
    wait = retry_after.asked(response.headers) or 0
    if status == 429:
        return NetworkProblem(
            f"The Hub at {where.shown} still limits our requests (HTTP 429) for {where.repo}.",
            f"Wait some minutes, or {_LOGIN} for a higher limit; what is here is kept.",
            wait,
        )
    said = f"The Hub at {where.shown} answers HTTP {status} for {where.repo}."
    hint = f"Try again later, or name a mirror in HF_ENDPOINT; {where.kept}"
    if status in retry_after.RETRIED_STATUS:
        return NetworkProblem(said, hint, wait)
    return EnvironmentProblem(said, hint)


def _unauthorized(where: Where, code: str, token: bool) -> OrchestrateError:
    if token:
        return EnvironmentProblem(
            f"The Hub refused the token that was sent for {where.repo} (HTTP 401).",
            "It may have expired: make a new one, then " + _LOGIN + ".",
        )
    if code == "GatedRepo":
        return EnvironmentProblem(
            f"{where.repo} is gated and no token was sent (HTTP 401).",
            f"Accept its licence at {where.page}, then {_LOGIN}.",
        )
    return EnvironmentProblem(
        f"The Hub does not show {where.repo} without a token (HTTP 401): it is private, "
        "or there is no such repository.",
        f"Check the name at {where.page}; if it is right, {_LOGIN}.",
    )


def _forbidden(where: Where, code: str) -> OrchestrateError:
    if code == "GatedRepo":
        return EnvironmentProblem(
            f"Your account may not read {where.repo} (HTTP 403): its licence is not accepted.",
            f"Accept it at {where.page} with the account of your token, then run again.",
        )
    return EnvironmentProblem(
        f"Your token may not read {where.repo} (HTTP 403).",
        "Give it read access to this repository in the settings of your account.",
    )


def _not_found(where: Where, code: str, response: Any) -> OrchestrateError:
    if code == "RevisionNotFound":
        return UsageError(
            f"{where.repo} has no revision {where.revision!r} (HTTP 404).",
            f"Name a branch, a tag or a full commit: {where.page}/commits/main lists them.",
        )
    if code == "EntryNotFound":
        return UsageError(
            f"{where.repo} has no file {_asked(response, where)!r} at {where.revision[:12]} "
            "(HTTP 404).",
            f"The files are listed at {where.page}/tree/{where.revision}.",
        )
    return UsageError(
        f"The Hub has no {where.repo_type} repository called {where.repo} (HTTP 404).",
        "Check the spelling; a private one also looks missing to a token without access.",
    )


def _asked(response: Any, where: Where) -> str:
    """The path inside the repository that a request was for."""
    url = unquote(str(response.url).partition("?")[0])
    return url.partition(f"/resolve/{where.revision}/")[2]


def _local(error: BaseException, where: Where) -> OrchestrateError | None:
    from huggingface_hub.errors import (  # noqa: PLC0415 - heavy
        HFValidationError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return EnvironmentProblem(
            f"{where.repo} must be fetched, and HF_HUB_OFFLINE forbids it.",
            "Unset HF_HUB_OFFLINE; a run with --offline uses only what is cached.",
        )
    if isinstance(error, BrokenTransferError):
        return NetworkProblem(
            f"The connection to the Hub at {where.shown} for {where.repo} breaks again and again: "
            f"{error}.",
            f"Check the network, or name a mirror in HF_ENDPOINT; {where.kept}",
        )
    if is_transport(error):
        return NetworkProblem(
            f"The Hub at {where.shown} cannot be reached for {where.repo} "
            f"({type(error).__name__}).",
            f"Check the network, or name a mirror in HF_ENDPOINT; {_offline(where)}{where.kept}",
        )
    if isinstance(error, HFValidationError):
        return UsageError(
            f"{where.repo!r} is not a repository name.", "Write it as ORGANISATION/NAME."
        )
    return _disk(error, where)


def _disk(error: BaseException, where: Where) -> OrchestrateError | None:
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return EnvironmentProblem(
            f"The disk is full while {where.repo} is fetched: {units.size(where.needed)} "
            "had to come.",
            "Free some space, or set HF_HUB_CACHE to a larger disk; what is here is kept.",
        )
    if isinstance(error, OSError) and error.errno in _NO_RIGHT:
        return EnvironmentProblem(
            f"{error.filename or 'The Hub cache'} may not be written ({error.strerror}).",
            "Change its owner, or set HF_HUB_CACHE to a folder of yours.",
        )
    if _strange(error):
        return EnvironmentProblem(
            f"What {where.shown} answers for {where.repo} is not a Hub's answer "
            f"({type(error).__name__}).",
            "Check HF_ENDPOINT, and whether a proxy or a login page is in between.",
        )
    return None


def _offline(where: Where) -> str:
    return "" if where.writes else "a run with --offline uses what is cached, and "


def _strange(error: BaseException) -> bool:
    """Whether an answer is none of the Hub's: no JSON, or the client misses something in it."""
    if isinstance(error, OSError):
        return error.errno is None
    misses = isinstance(error, _MISSED) and _raised_in(error) in _CLIENT
    return misses or isinstance(error, JSONDecodeError)


def _raised_in(error: BaseException) -> str:
    """The package whose code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(name).partition(".")[0]
