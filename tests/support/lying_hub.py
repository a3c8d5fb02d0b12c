"""One try with a Hub that lies: what became of it, and what it left behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from orchestrator.base import interruptible_sleep
from orchestrator.base.errors import OrchestrateError
from orchestrator.sources.hub import answers, download, resumable_download
from orchestrator.sources.hub.cache import CachedRepo
from tests.hub import Hub, Repo
from tests.support.hub_repositories import COMMIT, CONFIG, INDEX, NAME, SECOND, WEIGHTS, tensor_file

LIMIT_SECONDS = 30.0  # many times what a try takes on a busy machine
STEPS = ("resolve", "listing", "header", "small file", "weights", "resume")


@dataclass(frozen=True)
class Outcome:
    """How a try ended.

    Attributes:
        code: The exit code that it means; None when there was no error of ours.
        said: The error's text.
        bug: The error that would have reached the bug handler.
        hung: Whether it was not done in time.
    """

    code: int | None = None
    said: str = ""
    bug: BaseException | None = None
    hung: bool = False

    @property
    def kind(self) -> str:
        """In one word or two, for tables."""
        if self.hung:
            return "hung"
        if self.bug is not None:
            return "bug"
        return "done" if self.code is None else f"exit {self.code}"


def served(folder: Path) -> Repo:
    """A repository of small files of all kinds."""
    folder.mkdir(parents=True)
    tensor_file(folder / WEIGHTS, 100_000)
    tensor_file(folder / SECOND, 1000)
    (folder / CONFIG).write_text('{"model_type": "llama"}')
    (folder / INDEX).write_text('{"weight_map": {}}')
    return Repo(folder, COMMIT)


@contextmanager
def asking(hub: Hub, cache: Path) -> Iterator[None]:
    """Let the program ask a Hub, without the pauses."""
    naps = mock.patch.object(interruptible_sleep, "sleep", return_value=None)
    names = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache), "HF_TOKEN": "hf_secret"}
    with mock.patch.dict(os.environ, names), naps:
        yield


@contextmanager
def hasty() -> Iterator[None]:
    """Let slow answers be given up after a second."""
    with (
        mock.patch.object(answers, "MOST_JSON_SECONDS", 1.0),
        mock.patch.object(answers, "MOST_TEXT_SECONDS", 1.0),
        mock.patch.object(answers, "MOST_HEAD_SECONDS", 1.0),
        mock.patch.object(resumable_download, "SLOW_SECONDS", 0.3),
    ):
        yield


def attempt(step: str, repo: Repo, cache: Path) -> Outcome:
    """Do one of STEPS, within LIMIT_SECONDS."""
    listed = tuple(
        download.HubFile(
            path,
            (repo.folder / path).stat().st_size,
            repo.sha256(path) if repo.is_lfs(path) else None,
            None if repo.is_lfs(path) else repo.blob_id(path),
        )
        for path in repo.paths()
    )
    work: dict[str, Callable[[], object]] = {
        "resolve": lambda: download.resolve(NAME, "main"),
        "listing": lambda: download.fetch(NAME, COMMIT, [CONFIG]),
        "header": lambda: download.safetensors_headers(NAME, COMMIT, [WEIGHTS]),
        "small file": lambda: download.fetch(NAME, COMMIT, [CONFIG], listed=listed),
        "weights": lambda: download.fetch(NAME, COMMIT, [WEIGHTS], listed=listed),
        "resume": lambda: _resume(repo, cache, listed),
    }
    return _within_limit(work[step])


def _resume(repo: Repo, cache: Path, listed: tuple[download.HubFile, ...]) -> object:
    blob = CachedRepo(cache, NAME).blob(repo.sha256(WEIGHTS))
    blob.parent.mkdir(parents=True, exist_ok=True)
    half = (repo.folder / WEIGHTS).read_bytes()[:50_000]
    blob.with_name(f"{blob.name}.incomplete").write_bytes(half)
    return download.fetch(NAME, COMMIT, [WEIGHTS], listed=listed)


def _within_limit(work: Callable[[], object]) -> Outcome:
    found = [Outcome(hung=True)]

    def watched() -> None:
        try:
            work()
            found[0] = Outcome()
        except OrchestrateError as error:
            found[0] = Outcome(error.exit_code, str(error))
        except BaseException as error:
            found[0] = Outcome(bug=error)

    thread = threading.Thread(target=watched, daemon=True)
    thread.start()
    thread.join(LIMIT_SECONDS)
    return found[0]


def left_behind(root: Path, cache: Path) -> list[str]:
    """What should not be there: files outside the cache, and blobs with another content."""
    wrong = [
        f"outside the cache: {path}"
        for path in root.rglob("*")
        if path.is_file() and not path.is_relative_to(cache)
    ]
    for path in cache.rglob("*"):
        if path.is_file() and not path.resolve().is_relative_to(cache.resolve()):
            wrong.append(f"leads outside: {path}")
        elif path.parent.name == "blobs" and path.suffix != ".incomplete":
            wrong += [] if _sound(path) else [f"another content: {path}"]
    return wrong


def _sound(blob: Path) -> bool:
    content = blob.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return blob.name in (hashlib.sha256(content).hexdigest(), git)


def recovers(repo: Repo, cache: Path) -> bool:
    """Whether the same fetch from the same Hub, honest again, brings the right files."""
    outcome = attempt("weights", repo, cache)
    snapshot = CachedRepo(cache, NAME).snapshot(COMMIT)
    right = outcome.code is None and not outcome.bug and not outcome.hung
    return right and (snapshot / WEIGHTS).read_bytes() == (repo.folder / WEIGHTS).read_bytes()


def clean(folder: Path) -> None:
    """Remove what a try left."""
    shutil.rmtree(folder, ignore_errors=True)
