"""Files of the Python package index: sdists that mirror an upstream, wheels that carry models.

The index is the one that pip is configured for (``PIP_INDEX_URL`` or pip's configuration),
so a company mirror serves here too; else the library's default.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, StepError, UsageError
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.step_values import Progress
from orchestrator.sources import archive, http_client
from orchestrator.sources.attended_stream import TooLateError, within

# The longest page known has 20 MB; one of 2 MB takes a second to parse.
PAGE_BYTES = 50_000_000
PAGE_SECONDS = 120.0
_ADVICE = "Check the network, or set PIP_INDEX_URL to a mirror."

if TYPE_CHECKING:
    from pypi_simple import DistributionPackage, ProjectPage, PyPISimple


def index_url() -> str:
    """The configured simple index, or an empty string for the default one.

    pip reads its site-wide, user and environment files, the later one wins
    (https://pip.pypa.io/en/stable/topics/configuration/).

    Raises:
        UsageError: pip's configuration is no configuration.
    """
    configured = os.environ.get("PIP_INDEX_URL", "")
    if configured:
        return configured
    parser = configparser.RawConfigParser()
    try:
        parser.read(_pip_files(), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        why = str(error).replace("\n", " ")
        raise UsageError(f"pip's configuration cannot be read: {why}") from error
    return parser.get("global", "index-url", fallback="")


def effective_index() -> str:
    """The simple index that downloads use."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 - heavy

    return index_url() or PYPI_SIMPLE_ENDPOINT


def _pip_files() -> list[Path]:
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    last = os.environ.get("PIP_CONFIG_FILE", "")
    if last == os.devnull:  # pip's way to read none at all
        return []
    folders = [
        platformdirs.site_config_path("pip", appauthor=False),
        Path("/etc"),
        Path.home() / ".pip",
        platformdirs.user_config_path("pip", appauthor=False, roaming=True),
        Path(sys.prefix),
    ]
    return [*(folder / name for folder in folders), *([Path(last)] if last else [])]


def download(
    package: str,
    version: str,
    kind: str,
    *,
    sha256: str,
    dest: Path,
    report: Callable[[Progress], None],
) -> Path:
    """Fetch one file of a release into the folder ``dest`` and check its SHA-256.

    Args:
        package: The project's name.
        version: The exact version.
        kind: ``sdist`` or ``wheel``.
        sha256: What the file must hash to; empty to take the index's word.
        dest: An existing folder.
        report: Receives progress in bytes.

    Raises:
        EnvironmentProblem: The index cannot be reached.
        StepError: There is no such file, or it is not the pinned one.
    """
    with _client(package, version) as client:
        found = _find(client, package, version, kind, sha256)
        path = dest / Path(found.filename).name
        client.download_package(
            found,
            path,
            timeout=60,
            verify=bool(found.digests),
            progress=lambda size: _Meter(size or 0, report),
        )
    _check(path, sha256)
    return path


@contextmanager
def _client(package: str, version: str = "") -> Iterator[PyPISimple]:
    """A client of the index; its errors as sentences."""
    import requests  # noqa: PLC0415 - heavy
    from pypi_simple import PyPISimple  # noqa: PLC0415
    from pypi_simple import errors as known  # noqa: PLC0415

    from orchestrator.sources.bounded_session import session  # noqa: PLC0415

    what = f"{package} {version}".rstrip()

    try:
        with PyPISimple(effective_index(), session=session(PAGE_BYTES)) as client:
            yield client
    except known.NoSuchProjectError as error:
        raise StepError(f"the package index has no project {package!r}") from error
    except known.DigestMismatchError as error:
        raise StepError(f"{what} arrived damaged: {error}", "Run again.") from error
    except (known.UnsupportedContentTypeError, known.UnsupportedRepoVersionError) as error:
        raise EnvironmentProblem(
            f"the answer for {what} is not that of a package index: {error}", _ADVICE
        ) from error
    except requests.RequestException as error:
        raise NetworkProblem(
            f"the package index cannot be reached for {what} ({http_client.reason(error)})",
            _ADVICE,
        ) from error


def address(package: str, version: str, kind: str, sha256: str) -> str:
    """Where a file of a release is to be downloaded.

    Raises:
        EnvironmentProblem, StepError: As :func:`download`.
    """
    with _client(package, version) as client:
        return str(_find(client, package, version, kind, sha256).url)


@dataclass(frozen=True)
class Released:
    """One file of a release as the index states it; ``size`` in bytes, if it says."""

    sha256: str
    size: int | None


def released(versions: Mapping[str, str]) -> dict[str, tuple[Released, ...]]:
    """The files of exact releases by package name; of packages that the index lacks none.

    Costs one request for each package and fetches no file.

    Raises:
        EnvironmentProblem: The index cannot be reached.
    """
    with _client("the packages of the lock") as client:
        return {name: _released(client, name, one) for name, one in versions.items()}


def _released(client: PyPISimple, name: str, version: str) -> tuple[Released, ...]:
    from pypi_simple import NoSuchProjectError  # noqa: PLC0415 - heavy

    try:
        page = _page(client, name)
    except NoSuchProjectError:
        return ()
    files = [file for file in page.packages if file.version == version]
    known = {file.digests["sha256"]: file.size for file in files if "sha256" in file.digests}
    return tuple(Released(sha256, size) for sha256, size in sorted(known.items()))


def _page(client: PyPISimple, package: str) -> ProjectPage:
    """What the index says of a project, in limited size and time."""
    import requests  # noqa: PLC0415 - heavy

    try:
        return within(PAGE_SECONDS, lambda: client.get_project_page(package, timeout=60))
    except TooLateError as error:
        raise requests.Timeout from error


def _find(
    client: PyPISimple, package: str, version: str, kind: str, sha256: str
) -> DistributionPackage:
    page = _page(client, package)
    files = [p for p in page.packages if p.version == version and p.package_type == kind]
    # An index that states no digest is believed until the file is here and is hashed.
    matching = [p for p in files if p.digests.get("sha256", sha256) == sha256] if sha256 else files
    if not files:
        raise StepError(f"the package index has no {kind} of {package} {version}")
    if not matching:
        offered = ", ".join(sorted(p.digests.get("sha256", "?") for p in files))
        raise StepError(
            f"the {kind} of {package} {version} has SHA-256 {offered}, the pin says {sha256}",
            "The release or the pin was changed; find out why before you go on.",
        )
    return matching[0]


def _check(path: Path, sha256: str) -> None:
    found = file_sha256(path)
    if sha256 and found != sha256:
        path.unlink()
        raise StepError(f"{path.name} has SHA-256 {found}, the pin says {sha256}")


class _Meter:
    """The progress interface of pypi_simple, told to our own reporter."""

    def __init__(self, total: int, report: Callable[[Progress], None]) -> None:
        self._total, self._done, self._report = total, 0, report

    def __enter__(self) -> _Meter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, increment: int) -> None:
        """Count bytes; Ctrl-C ends the download here."""
        check_stopped()
        self._done += increment
        if self._done > (self._total or archive.MAX_BYTES):
            raise StepError("the package index sends more than the file has: refused")
        self._report(Progress(self._done, self._total, "B"))
