"""Model files from the Hugging Face Hub, asked for in :mod:`orchestrator.sources.hub.client`.

Everything is asked for at a full commit, checked against the digests the Hub lists, and kept
in the client's own cache, which other programs on the machine share. The environment
(HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, HF_TOKEN) is read at each call.
"""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from orchestrator.base.step_values import Progress
from orchestrator.modelfiles import safetensors
from orchestrator.sources.choose_model_files import (
    HubFile,
    Selection,
    is_weights,
    select,
    select_files,
)
from orchestrator.sources.hub import answers, cache_links, client
from orchestrator.sources.hub.cache import (
    CachedRepo,
    Meter,
    Report,
    cache_root,
    cached_commit,
    cached_listing,
    corrupt,
    discard,
    missing,
    note_commit,
    require_cached,
    still_corrupt,
)
from orchestrator.sources.hub.read_errors import Where
from orchestrator.sources.hub.resumable_download import Transfer, stage

__all__ = [
    "HubFile",
    "Selection",
    "fetch",
    "listing",
    "read_file",
    "resolve",
    "safetensors_headers",
    "select",
    "select_files",
    "small_files",
]

_FULL_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST_TEXT = answers.MOST_TEXT_BYTES


def _quiet(_progress: Progress) -> None:
    """Report to nobody."""


def resolve(
    repo: str,
    revision: str,
    *,
    repo_type: str = "model",
    offline: bool = False,
    cache_dir: Path | None = None,
) -> str:
    """The full commit of a revision; one that is a full commit costs no request.

    Raises:
        UsageError: No such repository or revision.
        EnvironmentProblem: No access, no network, or offline and never fetched.
    """
    if _FULL_COMMIT.fullmatch(revision):
        return revision
    if offline:
        return cached_commit(CachedRepo(cache_root(cache_dir), repo, repo_type), revision)
    return client.repo_info(client.where_is(repo, revision, repo_type)).commit


def remember(
    repo: str,
    revision: str,
    commit: str,
    *,
    repo_type: str = "model",
    cache_dir: Path | None = None,
) -> None:
    """Note which commit a branch had when its files were fetched, as the Hub's client does.

    Offline :func:`resolve` answers from this note.
    """
    note_commit(CachedRepo(cache_root(cache_dir), repo, repo_type), revision, commit)


def listing(
    repo: str,
    commit: str,
    *,
    repo_type: str = "model",
    offline: bool = False,
    cache_dir: Path | None = None,
) -> tuple[HubFile, ...]:
    """All files of a commit with sizes and digests; offline, those that are cached.

    Raises:
        UsageError, EnvironmentProblem: As :func:`resolve`.
        StepError: A path would leave the folder it is written to.
    """
    if offline:
        return cached_listing(CachedRepo(cache_root(cache_dir), repo, repo_type), commit)
    return client.listing(client.where_is(repo, commit, repo_type))


def fetch(
    repo: str,
    commit: str,
    paths: Sequence[str],
    *,
    repo_type: str = "model",
    workers: int = 4,
    offline: bool = False,
    report: Report = _quiet,
    cache_dir: Path | None = None,
    listed: Sequence[HubFile] | None = None,
    verified: Collection[str] = (),
) -> Path:
    """Bring files into the Hub cache and check each against the Hub's digest.

    A file of the right size with wrong content is removed and fetched once more.

    Args:
        repo: ORGANISATION/NAME.
        commit: A full commit.
        paths: Exact paths; on return all of them are verified.
        repo_type: ``model`` or ``dataset``.
        workers: How many files are fetched, and hashed, at a time.
        offline: Use what is cached, or say what is missing.
        report: Receives bytes done and in all, with the note "fetching" or "checking".
        cache_dir: The Hub cache; by default the client's own.
        listed: The commit's listing, if the caller has it: saves a request.
        verified: Paths that an earlier call verified: only their presence and size count.

    Returns:
        The snapshot folder in the cache, which holds at least ``paths``.

    Raises:
        UsageError: No such repository, revision or file.
        EnvironmentProblem: No access, no network, disk full, or offline and not cached.
        StepError: The content is wrong, twice.
    """
    cache = CachedRepo(cache_root(cache_dir), repo, repo_type)
    where = client.where_is(repo, commit, repo_type)
    if listed is None:
        listed = listing(repo, commit, repo_type=repo_type, offline=offline, cache_dir=cache_dir)
    wanted = _wanted(listed, paths)
    folder = cache.snapshot(commit)
    if offline:
        require_cached(cache, commit, wanted)
    lacking = missing(folder, wanted)
    there = [file for file in wanted if file not in lacking and file.path not in verified]
    checked = Meter(sum(file.size for file in (*there, *lacking)), report, "checking")
    bad = corrupt(folder, there, workers, checked)
    if bad and offline:
        raise still_corrupt(repo, bad[0], retried=False)
    discard(folder, [found.file for found in bad])
    lacking = (*lacking, *(found.file for found in bad))
    if lacking:
        fetched = Meter(sum(file.size for file in wanted), report, "fetching")
        fetched.add(sum(file.size for file in wanted) - sum(file.size for file in lacking))
        ways = partial(client.opened, where), partial(client.by_xet, where)
        _download(where, Transfer(cache, *ways, fetched, checked), lacking, workers)
    return folder


def _wanted(listed: Sequence[HubFile], paths: Sequence[str]) -> tuple[HubFile, ...]:
    by_path = {file.path: file for file in listed}
    absent = [path for path in paths if path not in by_path]
    if absent:
        select_files(listed, [glob.escape(absent[0])])  # raises: it says what is near
    return tuple(by_path[path] for path in dict.fromkeys(paths))


def _download(where: Where, transfer: Transfer, files: Sequence[HubFile], workers: int) -> None:
    """Fetch what is not cached and check it, then show it in the snapshot."""
    for file in files:
        if not is_weights(file.path):
            answers.require_small(where, f"{where.page}/{file.path}", file.size, _MOST_TEXT)
    with client.explained(replace(where, needed=sum(file.size for file in files))):
        links = client.links_work(transfer.cache.root)
        stage(files, transfer, workers)
        cache_links.show(transfer.cache, where.revision, files, links=links)
    transfer.fetched.finish()
    transfer.checked.finish()


def read_file(
    repo: str,
    commit: str,
    path: str,
    *,
    repo_type: str = "model",
    offline: bool = False,
    cache_dir: Path | None = None,
    listed: Sequence[HubFile] | None = None,
) -> bytes:
    """The content of one small file (a shard index); raises as :func:`fetch`."""
    folder = fetch(
        repo,
        commit,
        [path],
        repo_type=repo_type,
        workers=1,
        offline=offline,
        cache_dir=cache_dir,
        listed=listed,
    )
    return (folder / path).read_bytes()


def small_files(
    repo: str,
    commit: str,
    paths: Sequence[str],
    dest: Path,
    *,
    repo_type: str = "model",
    folder: str = "",
    offline: bool = False,
    cache_dir: Path | None = None,
    listed: Sequence[HubFile] | None = None,
) -> None:
    """Copy configuration and tokenizer files into ``dest``, by their paths in ``folder``.

    Raises:
        OrchestrateError: As :func:`fetch`.
    """
    snapshot = fetch(
        repo,
        commit,
        paths,
        repo_type=repo_type,
        offline=offline,
        cache_dir=cache_dir,
        listed=listed,
    )
    for path in paths:
        target = dest / path.removeprefix(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(snapshot / path, target)


def safetensors_headers(
    repo: str,
    commit: str,
    paths: Sequence[str],
    *,
    repo_type: str = "model",
    offline: bool = False,
    workers: int = 4,
    cache_dir: Path | None = None,
) -> Mapping[str, tuple[bytes, int]]:
    """The first bytes of safetensors files: all that comes before tensor data.

    Costs one range request of 48 KiB per file, and a second one for a longer header; a file
    that is cached costs none.

    Returns:
        For each path the 8-byte length with the JSON header, and the file's size in bytes:
        writing the first and truncating to the second gives a file of the right shape.

    Raises:
        UsageError, EnvironmentProblem: As :func:`fetch`.
        FormatError: A file is no safetensors file.
    """
    cache = CachedRepo(cache_root(cache_dir), repo, repo_type)
    where = client.where_is(repo, commit, repo_type)

    def one(path: str) -> tuple[bytes, int]:
        return safetensors.header_bytes(_ranges(cache, where, path, offline=offline), path)

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        return dict(zip(paths, pool.map(one, paths), strict=True))


def is_quantized(
    repo: str, commit: str, path: str, *, repo_type: str = "model", offline: bool = False
) -> bool:
    """Whether a safetensors file holds quantized weights; raises as :func:`fetch`."""
    cache = CachedRepo(cache_root(None), repo, repo_type)
    where = client.where_is(repo, commit, repo_type)
    return safetensors.quantized(_ranges(cache, where, path, offline=offline), path)


def _ranges(cache: CachedRepo, where: Where, path: str, *, offline: bool) -> safetensors.ReadRange:
    """How to read parts of a file: from the cache, or from the Hub."""
    local = cache.snapshot(where.revision) / path
    if local.is_file():
        return partial(safetensors.file_range, local)
    if offline:
        require_cached(cache, where.revision, [HubFile(path, 0, None, None)])
    return partial(client.read_range, where, path)
