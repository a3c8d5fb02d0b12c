"""The folder a user gets: files that share their bytes with the store, sums and the report."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base import json_text, machine_info
from orchestrator.base.atomic_file import part_of, put
from orchestrator.base.digest import file_sha256, key_of_parsed
from orchestrator.base.disk_space import translated
from orchestrator.base.errors import EnvironmentProblem, StepError, UsageError
from orchestrator.base.file_links import place
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.safe_text import without_credentials
from orchestrator.base.step_values import JSON
from orchestrator.engine.digest_cache import Digests
from orchestrator.runs.small_text import Text

SUMS = "SHA256SUMS"
REPORT_JSON = "report.json"
REPORT_MD = "report.md"
REPORT_HTML = "report.html"
_RESERVED = frozenset({SUMS, REPORT_JSON, REPORT_MD, REPORT_HTML})
# What stands beside a file: its provenance, and the same signed.
BESIDE = (".provenance.json", ".provenance.dsse.json")
RECORD = "dist"  # where report.json lists the files that are ours


@dataclass(frozen=True)
class Wanted:
    """A file to publish: where its bytes are, and their digest."""

    path: Path
    sha256: str


@dataclass
class Published:
    """What was done: how each file came, what was removed, and sentences for the user."""

    ways: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def require_usable(out: Path) -> None:
    """Refuse a folder for outputs that cannot be written to, before any work.

    Raises:
        EnvironmentProblem: It lies below a file, or this user has no right to it.
    """
    why = machine_info.unusable(out, write=True)
    if why:
        raise EnvironmentProblem(f"{out} cannot be used: {why}", "Choose another --out.")


def publish_files(
    dest: Path,
    files: Mapping[str, Wanted],
    report: Mapping[str, JSON],
    markdown: Callable[[], str],
    keep: Collection[str] = (),
    *,
    digests: Digests,
    texts: Mapping[str, Text] | None = None,
    page: Callable[[], str] | None = None,
    earlier: Mapping[str, JSON] | None = None,
) -> Published:
    """Bring ``dest`` up to date; what is up to date is not touched.

    Args:
        dest: The folder; made when it is not there.
        files: What it must hold, by file name.
        report: Becomes ``report.json``, with the list of our files under ``dist``.
        markdown: Makes ``report.md`` of what the report says.
        keep: Names of files from an earlier run to leave there, such as those that a run
            with ``--only`` does not make.
        digests: What is known of files' contents; only what may have changed is read.
        texts: Small files to write beside them, by file name.
        page: Makes ``report.html``; without it, the one that is there stays.
        earlier: What :func:`earlier_report` gives of the folder, for whoever has read it.

    Every file is replaced whole, so that a kill leaves the old one or the new one. Only
    files that an earlier run put there are removed, and not if they were changed since.

    Returns:
        The ways are ``hard link``, ``reflink``, ``copy`` and ``kept``.

    Raises:
        UsageError: A name is no plain file name.
        EnvironmentProblem: The folder cannot be written, or the disk is full.
    """
    texts = texts or {}
    _check_names([*files, *texts])
    done = Published()
    with _writable(dest):
        dest.mkdir(parents=True, exist_ok=True)
        ours = _ours(dest, earlier_report(dest) if earlier is None else earlier, done)
        for name, wanted in sorted(files.items()):
            done.ways[name] = _publish(dest / name, wanted, ours.get(name), done, digests)
        told = {name: text.bring(dest / name, digests) for name, text in sorted(texts.items())}
        stale = {n: e for n, e in ours.items() if n not in {*files, *texts, *keep}}
        _remove(dest, stale, done)
        kept = {name: entry for name, entry in ours.items() if name in keep}
        done.notes += _changed(dest, kept, digests)
        record = kept | {name: _entry(wanted) for name, wanted in files.items()}
        record |= told
        put(dest / SUMS, _sums(record).encode("utf-8"))
        said = key_of_parsed(report)
        Text(said, markdown).bring(dest / REPORT_MD, digests)
        if page is not None:
            Text(said, page).bring(dest / REPORT_HTML, digests)
        whole = {**report, RECORD: dict(sorted(record.items()))}
        Text([said, record], lambda: _json(whole)).bring(dest / REPORT_JSON, digests)
    if "copy" in done.ways.values():
        done.notes.append(
            f"files in {dest} are copies: it is on another disk than the store, "
            "or on one without hard links and reflinks"
        )
    return done


def earlier_report(dest: Path) -> Mapping[str, JSON]:
    """The report that an earlier run left in ``dest``; empty without a readable one."""
    try:
        found = json_text.parse((dest / REPORT_JSON).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_names(files: Iterable[str]) -> None:
    for name in files:
        if not _is_plain(name):
            raise UsageError(f"{name!r} cannot be the name of a file in dist")


def _is_plain(name: str) -> bool:
    """Whether a name is that of a visible file in the folder itself, on any system."""
    inside = name == Path(name).name and not set(name) & set('\\:"<>|?*')
    return bool(name) and inside and name.isprintable() and name[0] != "." and name not in _RESERVED


@contextmanager
def _writable(dest: Path) -> Iterator[None]:
    try:
        with translated(dest, "publishing"):
            yield
    except OSError as error:
        raise EnvironmentProblem(
            f"{error.filename2 or error.filename or dest} cannot be written: {error.strerror}",
            "Choose another place with --out.",
        ) from error


def _ours(
    dest: Path, earlier: Mapping[str, JSON], done: Published
) -> dict[str, Mapping[str, JSON]]:
    """Size and digest of our files of an earlier run, by name."""
    record = earlier.get(RECORD)
    if not isinstance(record, dict):
        if (dest / REPORT_JSON).exists():
            done.notes.append(
                f"{dest / REPORT_JSON} was replaced: it was not written by this program, or is "
                "damaged"
            )
        return {}
    return {
        name: entry
        for name, entry in record.items()
        if _is_plain(name) and isinstance(entry, dict) and {"size", "sha256"} <= set(entry)
    }


def _entry(wanted: Wanted) -> dict[str, JSON]:
    return {"size": wanted.path.stat().st_size, "sha256": wanted.sha256}


def _publish(
    target: Path,
    wanted: Wanted,
    recorded: Mapping[str, JSON] | None,
    done: Published,
    digests: Digests,
) -> str:
    """Put one file in place, unless it is there; returns how."""
    if os.path.lexists(target):
        if _holds(target, wanted.sha256, digests):
            return "kept"
        _note_replaced(target, recorded, done)
    source = wanted.path.resolve()
    if digests.sha256(source, check_stopped) != wanted.sha256:
        raise StepError(f"{source} was changed while the files were made", "Run again.")
    with part_of(target) as part:
        way = place(source, part)
    # A hard link moves the change time of both.
    digests.remember({source: wanted.sha256, target: wanted.sha256})
    return way


def _holds(path: Path, sha256: JSON, digests: Digests) -> bool:
    """Whether a path is a file of its own with this content; read only if it may have changed."""
    return stat.S_ISREG(path.lstat().st_mode) and digests.sha256(path, check_stopped) == sha256


def _note_replaced(target: Path, recorded: Mapping[str, JSON] | None, done: Published) -> None:
    if recorded is None:
        done.notes.append(f"{target} was there before and not made by this program; replaced")
    elif not _is_ours(target, recorded):
        done.notes.append(f"{target} was changed since the last run; replaced by the right file")


def _changed(dest: Path, kept: Mapping[str, Mapping[str, JSON]], digests: Digests) -> Iterator[str]:
    """Of files that this run does not make, those that are not as they were made."""
    for name, entry in kept.items():
        path = dest / name
        if os.path.lexists(path) and not _holds(path, entry["sha256"], digests):
            yield f"{path} was changed since it was made; a run without --only replaces it"


def _is_ours(path: Path, recorded: Mapping[str, JSON]) -> bool:
    """Whether a file is, byte for byte, the one that an earlier run put there."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size != recorded["size"]:
        return False
    return bool(file_sha256(path) == recorded["sha256"])


def _remove(dest: Path, stale: Mapping[str, Mapping[str, JSON]], done: Published) -> None:
    for name, entry in sorted(stale.items()):
        path = dest / name
        if not os.path.lexists(path):
            continue
        if _is_ours(path, entry):
            path.unlink()
            done.removed.append(name)
        else:
            done.notes.append(f"{path} is no longer made but was changed since; it stays")


def _sums(record: Mapping[str, Mapping[str, JSON]]) -> str:
    """Lines as ``sha256sum -c`` reads them."""
    return "".join(f"{entry['sha256']}  {name}\n" for name, entry in sorted(record.items()))


def _json(content: Mapping[str, JSON]) -> str:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return without_credentials(text)
