"""The one place that touches huggingface_hub: its session, credentials and snapshots.

Imported lazily, function by function: the client costs half a second.
"""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base.errors import OrchestrateError, StepError
from orchestrator.sources.choose_model_files import HubFile, safe_path
from orchestrator.sources.hub.read_errors import Where, causes, translate
from orchestrator.sources.hub.resumable_download import Body, retrying

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo, RepoSibling

Translate = Callable[[BaseException, Where], OrchestrateError | None]

_TIMEOUT = 10.0  # seconds without an answer; a dead route must not hang a run
_CHUNK = 128 << 10  # what a broken connection can cost; the client hands out full chunks only


def where_is(repo: str, revision: str, repo_type: str) -> Where:
    """What is asked for, at the Hub the environment names now."""
    return Where(endpoint(), repo, repo_type, revision)


def endpoint() -> str:
    """The Hub the environment names now."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


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


def repo_info(where: Where, *, files: bool = False) -> ModelInfo | DatasetInfo:
    """Ask for a revision's commit and, with ``files``, each file's size and digests."""
    from huggingface_hub import HfApi  # noqa: PLC0415 - heavy

    api = HfApi(endpoint=where.endpoint, library_name="orchestrate")
    ask = api.dataset_info if where.repo_type == "dataset" else api.model_info

    def call() -> ModelInfo | DatasetInfo:
        return ask(where.repo, revision=where.revision, files_metadata=files, timeout=_TIMEOUT)

    with explained(where):
        return retrying(call)


def listed(repo: str, sibling: RepoSibling) -> HubFile:
    """One file of a listing.

    Raises:
        StepError: Its path would leave the folder it is written to.
    """
    path = sibling.rfilename
    if not safe_path(path):
        raise StepError(
            f"{repo} lists a file called {path!r}, which is not a path inside a folder.",
            "Do not use this repository.",
        )
    lfs = sibling.lfs
    if lfs is not None:
        return HubFile(path, lfs.size, lfs.sha256, None)
    return HubFile(path, sibling.size or 0, None, sibling.blob_id)


@contextmanager
def opened(where: Where, path: str, start: int, end: int | None = None) -> Iterator[Body]:
    """Ask for bytes ``start`` to ``end`` of a file; raises what the client raises."""
    from huggingface_hub import get_session, hf_raise_for_status, hf_hub_url  # noqa: PLC0415, I001
    from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415

    url = hf_hub_url(
        where.repo,
        path,
        repo_type=where.repo_type,
        revision=where.revision,
        endpoint=where.endpoint,
    )
    headers = build_hf_headers(library_name="orchestrate")
    headers["Accept-Encoding"] = "identity"  # a range of a compressed answer is of no use
    if start or end:
        headers["Range"] = f"bytes={start}-{end - 1 if end else ''}"
    with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT) as answer:
        hf_raise_for_status(answer)
        first, total = _extent(answer.status_code, answer.headers)
        yield Body(first, total, answer.iter_bytes(_CHUNK))


def _extent(status: int, headers: Mapping[str, str]) -> tuple[int, int]:
    """The first byte of an answer and the file's size (RFC 9110, Content-Range)."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
    if status == 206 and found:
        return int(found[1]), int(found[2])
    return 0, int(headers.get("Content-Length", "0"))


def read_range(where: Where, path: str, start: int, end: int) -> tuple[bytes, int]:
    """Read bytes ``start`` to ``end`` of a file, and its size; asks again where that helps."""

    def read() -> tuple[bytes, int]:
        with opened(where, path, start, end) as body:
            return _take(body, start, end)

    with explained(where):
        return retrying(read)


def _take(body: Body, start: int, end: int) -> tuple[bytes, int]:
    """Read up to ``end`` and no further, also from a server that ignores ranges."""
    data = bytearray()
    for chunk in body.chunks:
        data += chunk
        if body.start + len(data) >= end:
            break
    return bytes(data[start - body.start : end - body.start]), body.total


def links_work(root: Path) -> bool:
    """Tell whether the cache can hold symbolic links; without them it holds files."""
    from huggingface_hub.file_download import are_symlinks_supported  # noqa: PLC0415 - heavy

    return bool(are_symlinks_supported(root))


def snapshot(where: Where, root: Path, paths: Sequence[str], workers: int) -> None:
    """Let the client bring exactly ``paths`` into the cache at ``root`` and link them."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - heavy
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415

    disable_progress_bars()  # progress and errors are reported by us
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    snapshot_download(
        where.repo,
        repo_type=where.repo_type,
        revision=where.revision,
        cache_dir=root,
        endpoint=where.endpoint,
        allow_patterns=[glob.escape(path) for path in paths],
        max_workers=max(1, workers),
    )
