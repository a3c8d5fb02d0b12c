"""Files to the Hugging Face Hub: one commit with what differs, again until it is done.

Large files are sent one after the other before the commit, so that one that has arrived is
not sent again after a kill: the Hub keeps it under its digest, and the client asks for that
first (the batch request of Git LFS, or the chunks that Xet knows already). The commit names
the one it was made upon; when somebody else was faster, everything is looked at again.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.base import interruptible_sleep
from orchestrator.base.errors import EnvironmentProblem, OrchestrateError
from orchestrator.base.step_values import Progress
from orchestrator.sources.hub import answers, client, remote_repository
from orchestrator.sources.hub.bounded_answers import bounded, understood
from orchestrator.sources.hub.read_errors import RefusedError, Where, causes, status_of
from orchestrator.sources.hub.remote_repository import (
    BRANCH,
    Change,
    Committed,
    Remote,
    Upload,
    holds,
    require_same,
)
from orchestrator.sources.hub.resumable_download import pause
from orchestrator.sources.hub.write_errors import read_only, refused_card, translate_writing

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

ROUNDS = 6
_CARD = "README.md"
_LARGE = 1 << 20
_TIMEOUT = 30.0  # seconds without an answer
# In the answer of a Hub that knows Xet (https://huggingface.co/docs/xet/auth).
_XET = '"casUrl"'
_UNKNOWN = (404, 405, 501)
_COMMIT = re.compile("[0-9a-f]{40}")
# The commit it names is not the last one any more (412); others write at this moment (409).
_CONFLICTS = (409, 412)


Sending = Callable[[Upload], AbstractContextManager[Callable[[Progress], None]]]


@contextmanager
def _silent(_upload: Upload) -> Iterator[Callable[[Progress], None]]:
    """Tell nobody about an upload."""
    yield lambda _progress: None


def publish(
    repo: str,
    decide: Callable[[Remote], Change],
    *,
    message: str,
    private: bool = False,
    sending: Sending = _silent,
    waiting: Callable[[float], None] = lambda _seconds: None,
) -> Committed:
    """Bring a repository's main branch to what is wanted, with one commit.

    Args:
        repo: ORGANISATION/NAME; it is made when it is not there.
        decide: Says what has to change, given what the repository holds; asked anew whenever
            that may be otherwise.
        message: The first line of the commit.
        private: Whether a repository that is made is for members only.
        sending: A context for each large file that is sent, which receives its progress.
        waiting: Called with the seconds before everything is looked at again.

    Raises:
        EnvironmentProblem: No network, no token, no right to write, no room.
        StepError: The Hub refuses the model card.
    """
    job = _Job(
        remote_repository.place(repo),
        decide,
        message=message,
        private=private,
        sending=sending,
        waiting=waiting,
    )
    with (
        client.explained(job.where, translate_writing),
        _quiet_client(),
        bounded(job.where, client.session()),
    ):
        return job.run()


class _Job:
    """One publication: what of it was sent already outlasts a round that failed."""

    def __init__(
        self,
        where: Where,
        decide: Callable[[Remote], Change],
        *,
        message: str,
        private: bool,
        sending: Sending,
        waiting: Callable[[float], None],
    ) -> None:
        from huggingface_hub import HfApi  # noqa: PLC0415 - heavy

        self.where, self._decide, self._message = where, decide, message
        self._private, self._sending, self._waiting = private, sending, waiting
        self._api: HfApi = HfApi(endpoint=where.endpoint, library_name="orchestrate")
        self._additions: dict[tuple[str, str], CommitOperationAdd] = {}

    def run(self) -> Committed:
        """Rounds of looking, sending and committing until one goes through."""
        for attempt in range(ROUNDS - 1):
            try:
                return self._round()
            except OrchestrateError:
                raise
            except Exception as error:
                seconds = _wait(error, attempt)
                if seconds is None:
                    raise
                self._waiting(seconds)
                interruptible_sleep.sleep(seconds)
        return self._round()

    def _round(self) -> Committed:
        remote = remote_repository.at(self.where)
        if not remote.head:
            with self._understood("repos/create"):
                self._api.create_repo(self.where.repo, private=self._private or None, exist_ok=True)
            remote = remote_repository.at(self.where)
        change = self._decide(remote)
        if not change:
            return Committed(remote.head, self._page(remote.head), False, change)
        self._check_card(change)
        additions = [self._addition(one) for one in change.uploads]
        with self._transport():
            self._send(change.uploads, additions)
            done = self._commit(change, additions, remote.head)
        self._see(done)
        return done

    def _see(self, done: Committed) -> None:
        """Look at what the Hub made of a commit; that it says yes is not enough.

        Raises:
            EnvironmentProblem: It lists other files than those that were sent.
        """
        try:
            listed = remote_repository.at(self.where, done.commit).files
        except RefusedError as error:
            if not error.lacks_revision:
                raise
            listed = ()
        there = {file.path: file for file in listed}
        wrong = [one.name for one in done.change.uploads if not holds(there.get(one.name), one)]
        wrong += [name for name in done.change.deletions if name in there]
        if wrong:
            raise EnvironmentProblem(
                f"The Hub took the commit {done.commit[:12]} to {self.where.repo}, but does not "
                f"list it as it was sent: {wrong[0]}"
                + (f" and {len(wrong) - 1} more" if wrong[1:] else ""),
                "Look at the repository's page, and publish again.",
            )

    def _check_card(self, change: Change) -> None:
        """Let the Hub look at the model card before hours of sending.

        Raises:
            StepError: It finds the front matter wrong.
        """
        from huggingface_hub import get_session, hf_raise_for_status  # noqa: PLC0415
        from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415

        for upload in change.uploads:
            if upload.name != _CARD or upload.path is not None:
                continue
            with self._understood("validate-yaml"):
                answer = get_session().post(
                    f"{self.where.endpoint}/api/validate-yaml",
                    json={"content": upload.data.decode("utf-8"), "repoType": "model"},
                    headers=build_hf_headers(library_name="orchestrate"),
                    timeout=_TIMEOUT,
                )
                if answer.status_code in _UNKNOWN:
                    raise read_only(self.where, answer.status_code)
                if answer.status_code == 400:
                    told = answer.json()
                    raise refused_card(told.get("errors") if isinstance(told, dict) else None)
                hf_raise_for_status(answer)

    @contextmanager
    def _transport(self) -> Iterator[None]:
        """Let the client use Xet, its newer way to send large files, only where that works.

        Asked for its address, a Hub without Xet is asked again and again without end.
        """
        from huggingface_hub import constants  # noqa: PLC0415 - heavy

        before = constants.HF_HUB_DISABLE_XET
        constants.HF_HUB_DISABLE_XET = before or not self._knows_xet()
        try:
            yield
        finally:
            constants.HF_HUB_DISABLE_XET = before

    def _knows_xet(self) -> bool:
        from huggingface_hub import get_session, hf_raise_for_status  # noqa: PLC0415
        from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415

        where = self.where
        path = f"models/{where.repo}/xet-write-token/{BRANCH}"
        headers = build_hf_headers(library_name="orchestrate")
        with self._understood(path):
            address = f"{where.endpoint}/api/{path}"
            answer = get_session().get(address, headers=headers, timeout=_TIMEOUT)
            if answer.status_code == 404:
                return False
            hf_raise_for_status(answer)
            return _XET in answer.text

    def _understood(self, path: str) -> AbstractContextManager[None]:
        return understood(self.where, f"{self.where.endpoint}/api/{path}", translate_writing)

    def _page(self, commit: str) -> str:
        return f"{self.where.page}/commit/{commit}"

    def _addition(self, upload: Upload) -> CommitOperationAdd:
        """The client's own record of a file; one that was sent says so to the next round."""
        key = upload.name, upload.sha256
        if key not in self._additions:
            self._additions[key] = _metered(upload)
        return self._additions[key]

    def _send(self, uploads: Sequence[Upload], additions: Sequence[CommitOperationAdd]) -> None:
        """Send what the Hub keeps outside of git, one file after the other."""
        for upload, addition in zip(uploads, additions, strict=True):
            if upload.size < _LARGE:
                continue  # these go with the commit, all at once
            with self._sending(upload) as report:
                addition.report = report  # type: ignore[attr-defined]
                try:
                    with self._understood(f"models/{self.where.repo}/preupload/{BRANCH}"):
                        self._api.preupload_lfs_files(
                            self.where.repo, [addition], revision=BRANCH, free_memory=False
                        )
                except Exception:
                    require_same(upload)  # what is not the file any more is refused, rightly
                    raise
        for upload in uploads:
            require_same(upload)

    def _commit(
        self, change: Change, additions: Sequence[CommitOperationAdd], head: str
    ) -> Committed:
        from huggingface_hub import CommitOperationDelete  # noqa: PLC0415 - heavy

        deletions = [CommitOperationDelete(name, is_folder=False) for name in change.deletions]
        path = f"models/{self.where.repo}/commit/{BRANCH}"
        with self._understood(path):
            done = self._api.create_commit(
                self.where.repo,
                [*additions, *deletions],
                commit_message=self._message,
                revision=BRANCH,
                parent_commit=head or None,
            )
            if not _COMMIT.fullmatch(done.oid):
                url = f"{self.where.endpoint}/api/{path}"
                raise answers.strange(self.where, url, "it names no commit")
        return Committed(done.oid, self._page(done.oid), True, change)


def _metered(upload: Upload) -> CommitOperationAdd:
    """The client's record of a file, which tells how far it was read."""
    from huggingface_hub import CommitOperationAdd  # noqa: PLC0415 - heavy

    class Metered(CommitOperationAdd):
        report: Callable[[Progress], None] = staticmethod(lambda _progress: None)

        @contextmanager
        def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
            """As the client's own, without its bar."""
            del with_tqdm
            if upload.path is None:
                yield io.BytesIO(upload.data)
                return
            with _Reader(upload.path, self.report) as stream:
                yield stream

    addition = Metered(upload.name, upload.data if upload.path is None else upload.path)
    # What is known already need not be read once more; see require_same.
    addition.upload_info.sha256 = bytes.fromhex(upload.sha256)
    return addition


class _Reader(io.FileIO):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, report: Callable[[Progress], None]) -> None:
        super().__init__(path, "rb")
        self._report, self._total = report, path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read and tell."""
        data = super().read(-1 if size is None else size)
        self._report(Progress(self.tell(), self._total, "B", "sending"))
        return data or b""


# -- what can go wrong -----------------------------------------------------------------------


def _wait(error: BaseException, attempt: int) -> float | None:
    """Seconds before the next round; None when asking again cannot help."""
    for link in causes(error):
        if status_of(link) in _CONFLICTS:
            return min(0.5 * 2.0**attempt, 4.0)
        seconds = pause(link, attempt)
        if seconds is not None or status_of(link) is not None:
            return seconds
    return None


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Progress, waits and warnings are told by us, not by the client."""
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415 - heavy

    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
