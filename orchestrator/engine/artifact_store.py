"""The artifacts of all runs, by the keys of the steps that made them.

    artifacts/   complete artifacts, see artifact.py
    staging/     work in progress; whatever is left there after a kill is rubbish
    quarantine/  damaged artifacts, moved aside
    logs/        one log a key, of the last time its step ran
    locks/       see locks.py

An artifact is made in staging and renamed when complete: a kill leaves nothing half done.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from orchestrator.base import machine_info, safe_text
from orchestrator.base.digest import StrPath
from orchestrator.base.disk_space import translated
from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.base.file_mutex import Locks
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.step_values import JSON, Step
from orchestrator.engine import artifact, released_manifests
from orchestrator.engine.artifact import Artifact, Damaged, Stage
from orchestrator.engine.digest_cache import Digests
from orchestrator.engine.write_manifest import seal, seal_copy, sync_folder

__all__ = ["Artifact", "Stage", "Store"]

KEY = re.compile(r"[0-9a-f]{64}")
FORMAT = 1
Stop = Callable[[], None]


class Store:
    """The store in one root folder; any number of processes may use it at once.

    Args:
        root: The folder; made when first written to.
        warn: Receives a sentence for each damaged artifact, the same one once.

    Attributes:
        digests: What is known of files' contents.
        damaged: How many damaged artifacts were found; what was found before may be gone then.
    """

    def __init__(self, root: Path, warn: Callable[[str], None]) -> None:
        self.root = root.absolute()
        self._warn = warn
        self._said: set[str] = set()
        self._locks = Locks(self.root / "locks")
        self.digests = Digests(self.root / "digests.sqlite", self.warn)
        self.damaged = 0

    def __reduce__(self) -> tuple[Callable[..., Store], tuple[Path, frozenset[str]]]:
        """Travel to another process, where it is opened anew with this one's leases."""
        return _opened, (self.root, self._locks.leases)

    def seen_at(self, root: Path) -> Store:
        """The same store of the same run under the path that it has on another machine."""
        return _opened(root, self._locks.leases)

    @classmethod
    def default_root(cls) -> Path:
        """Return ORCHESTRATE_HOME, or the user's cache folder for this program."""
        home = os.environ.get("ORCHESTRATE_HOME")
        if home:
            return Path(home).expanduser().absolute()
        from platformdirs import user_cache_path  # noqa: PLC0415 - seldom needed

        return user_cache_path("orchestrate")

    def require_usable(self, *, writable: bool = False) -> None:
        """Refuse a root that can be no store, in one sentence and before any work.

        Raises:
            EnvironmentProblem: It is or lies below a file, this user has no right to it, or its
                name is none that tools take.
        """
        why = machine_info.unusable(self.root, write=writable)
        if safe_text.line(self.root) != str(self.root):
            why = "its path holds characters that cannot be shown"
        if why:
            raise EnvironmentProblem(
                f"the store in {safe_text.line(self.root)} cannot be used: {why}",
                "Set ORCHESTRATE_HOME to a folder of your own.",
            )

    def warn(self, sentence: str) -> None:
        """Hand on a warning about the store or what is kept in it, unless it was said before."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._warn(sentence)

    def find(self, key: str, quick: bool = False) -> Artifact | None:
        """Return a key's artifact if it is there and whole; a damaged one is moved aside.

        Presence, sizes and links are checked, and the content of files whose times or inode
        are others than when they were last read; ``quick`` looks at the manifest only, for what
        is not going to be read.
        """
        folder = self._folder(key)
        stamp = artifact.stamp(folder)
        try:
            found = artifact.load(key, folder)
            wrong = list(artifact.problems(found)) if found and not quick else []
        except Damaged as error:
            found, wrong = None, [str(error)]
        if found is not None and not quick and not wrong:
            try:
                wrong = self._changed(found, stamp, self.digests.sha256)
            except FileNotFoundError:
                return None  # it was removed meanwhile
        elif wrong:
            self._quarantine(key, stamp, wrong, found)
        if wrong:
            return None
        if found is not None:
            artifact.note_use(folder)
        return found

    @contextmanager
    def lock(self, key: str, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Be the only one, in all processes, that makes a key's artifact.

        ``on_wait`` is called once with who holds the lock, when it is held.

        Raises:
            Interrupted: ``process.stop_all`` was called while it waited.
        """
        self._check(key)
        with contextlib.ExitStack() as stack:
            with self._writable():
                stack.enter_context(self._locks.exclusive(key, on_wait))
            yield

    @contextmanager
    def hold(self, keys: Collection[str]) -> Iterator[None]:
        """Keep artifacts from being removed while they are read, by any process.

        Take hold first, then :meth:`find`. Not to be called with one of their locks held.
        """
        with contextlib.ExitStack() as stack:
            for key in sorted(keys):
                self._check(key)
                with self._writable():
                    stack.enter_context(self._locks.use(key))
            yield

    @contextmanager
    def lease(self, keys: Collection[str]) -> Iterator[None]:
        """Keep what has these keys, or gets them meanwhile, from removal by other processes.

        For all that a run needs, from its begin to its end. In a store that cannot be written
        to there is no lease, and no removal.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                stack.enter_context(self._locks.lease(keys))
            yield

    @contextmanager
    def stage(self, key: str, needed_bytes: int = 0) -> Iterator[Stage]:
        """Give an empty place to work in; to be called with the key's lock held.

        What an earlier attempt left is removed first, and what is left when the context
        ends is removed too, so only :meth:`commit` makes anything last.

        Raises:
            DiskFull: There was no room, here or in the body.
        """
        self._check(key)
        self._sweep(key)
        place = self.root / "staging" / f"{key}-{uuid.uuid4().hex[:8]}"
        stage = Stage(
            key,
            place / "artifact" / artifact.FILES,
            place / "scratch",
            self.log_path(key),
            self._folder(key) / artifact.FILES,
        )
        try:
            with translated(self.root, needed=needed_bytes):
                with self._writable():
                    artifact.prepare(stage)
                yield stage
        finally:
            artifact.remove_tree(place)

    def commit(
        self,
        stage: Stage,
        step: Step,
        facts: Mapping[str, JSON],
        seconds: float = 0.0,
        peak_memory: int = 0,
        *,
        hash_files: bool = True,
    ) -> Artifact:
        """Make a stage's folder the artifact of its key.

        Args:
            stage: From :meth:`stage`.
            step: What was done.
            facts: What the step says of its result; kept in the manifest, except for
                ``references`` ({name: {"path", "size", "sha256"}}: files outside the store
                to be linked in) and ``digests`` ({name: sha256} already known, to be
                trusted), which go into the files' entries.
            seconds: Wall time.
            peak_memory: Bytes.
            hash_files: False for trees of very many files: sizes only, and files stay
                writable.

        Raises:
            StepError: A name or a link leads out of the folder.
            DiskFull: There was no room.
        """
        manifest = {
            "format": FORMAT,
            "key": stage.key,
            "kind": step.kind,
            "label": step.label,
            "params": dict(step.params),
            "inputs": dict(step.inputs),
            "seconds": round(seconds, 3),
            "peak_memory": peak_memory,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": _machine(),
        }
        with translated(self.root, step.label):
            whole = seal(stage.workdir, manifest, facts, hash_files)
            return self._place(stage, whole)

    def commit_copy(self, stage: Stage, manifest: bytes) -> Artifact:
        """Make a stage's folder, copied and checked by its digests, the artifact of its key.

        Args:
            stage: From :meth:`stage`.
            manifest: That of the artifact elsewhere.

        Raises:
            StepError: A link leads out of the folder.
            DiskFull: There was no room.
        """
        whole = artifact.parse(stage.key, manifest)
        with translated(self.root, str(whole["label"])):
            seal_copy(stage.workdir, whole["files"], manifest)
            return self._place(stage, whole)

    def _place(self, stage: Stage, manifest: dict[str, JSON]) -> Artifact:
        """Rename what is complete into its place."""
        final = stage.final.parent
        final.parent.mkdir(parents=True, exist_ok=True)
        self._discard(stage.key)
        stage.workdir.parent.rename(final)
        sync_folder(final.parent)
        made = Artifact(stage.key, stage.final, manifest)
        self.digests.remember(artifact.digests(made))
        return made

    def refer(self, found: Artifact) -> None:
        """Show another store's artifact here too, by a link; relative, as disks have many paths."""
        link = self._folder(found.key)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            target = os.path.relpath(found.path.parent.resolve(), link.parent.resolve())
            link.symlink_to(target, target_is_directory=True)

    def release(self, key: str) -> int:
        """Remove an artifact unless someone makes, uses or needs it; return the bytes it gave back.

        What this process has a lease on it may remove.
        """
        folder = self._folder(key)
        if not folder.exists():
            return 0
        with self._locks.if_free(key) as held:
            if not held or self._locks.in_use(key):
                return 0
            with self._locks.unleased(key) as free:
                return self._discard(key) if free else 0

    def artifacts(self) -> Iterator[Artifact]:
        """Yield all artifacts with a readable manifest, in the order of their keys."""
        for key in self._keys():
            with contextlib.suppress(Damaged):  # verify() is there to tell
                if found := artifact.load(key, self._folder(key)):
                    yield found

    def verify(self, key: str | None = None) -> Iterator[tuple[Artifact, list[str]]]:
        """Read artifacts whole and yield each with what is wrong; damaged ones are moved aside.

        References are read too, and all that is known of files' times is not believed.
        """
        for each in [key] if key is not None else list(self._keys()):
            folder = self._folder(each)
            stamp = artifact.stamp(folder)
            try:
                found = artifact.load(each, folder)
                wrong = list(artifact.problems(found)) if found else []
                wrong = wrong or (list(artifact.tree_problems(found)) if found else [])
            except Damaged as error:
                found, wrong = Artifact(each, folder / artifact.FILES, {}), [str(error)]
            except FileNotFoundError:
                continue  # it was removed meanwhile
            if found is None or (wrong and artifact.stamp(folder) != stamp):
                continue
            if wrong:
                self._quarantine(each, stamp, wrong, found)
            else:
                try:
                    wrong = self._changed(found, stamp, self.digests.read_again)
                except FileNotFoundError:
                    continue
            yield found, wrong

    def gc(
        self,
        *,
        max_bytes: int | None = None,
        protect: Collection[str] = (),
        older_than: float | None = None,
    ) -> list[Artifact]:
        """Remove rubbish, and the least recently used artifacts.

        Args:
            max_bytes: What the artifacts may take together; None for no limit.
            protect: Keys never to be removed.
            older_than: Also remove what was not used for this many seconds.

        Returns:
            The artifacts that were removed. What someone makes, uses or needs stays.
        """
        self.sweep()
        for damaged in (self.root / "quarantine").glob("*"):
            artifact.remove_tree(damaged)
        known = list(self.artifacts())
        used = {each.key: artifact.last_used(self._folder(each.key)) for each in known}
        total = sum(each.size for each in known)
        now = time.time()
        removed = []
        for each in sorted(known, key=lambda each: (used[each.key], each.key)):
            old = older_than is not None and now - used[each.key] > older_than
            over = max_bytes is not None and total > max_bytes
            if (old or over) and each.key not in protect:
                self.release(each.key)
                if not self._folder(each.key).exists():
                    removed.append(each)
                    total -= each.size
        return removed

    def sweep(self) -> None:
        """Remove what killed runs left in staging; nobody's work in progress is touched."""
        for left in (self.root / "staging").glob("*-*"):
            key = left.name.partition("-")[0]
            if KEY.fullmatch(key):
                with self._locks.if_free(key) as held:
                    if held:
                        self._sweep(key)

    def forget_logs(self, before: float) -> None:
        """Remove logs of no artifact, last written before a moment (seconds since the epoch)."""
        for log in (self.root / "logs").glob("*.log"):
            with contextlib.suppress(OSError):  # another process removes it too
                there = KEY.fullmatch(log.stem) and self._folder(log.stem).exists()
                if not there and log.stat().st_mtime < before:
                    log.unlink()

    def log_path(self, key: str) -> Path:
        """Return where a key's log is, or would be."""
        return self.root / "logs" / f"{self._check(key)}.log"

    def file_digest(self, path: Path) -> str:
        """Return a local file's SHA-256, remembered while its size, time and inode stay.

        Raises:
            OSError: The file cannot be read.
        """
        return self.digests.sha256(Path(path), check_stopped)

    def _check(self, key: str) -> str:
        if not KEY.fullmatch(key):
            raise UsageError(
                f"{key!r} is not a key of the store", "a key is 64 digits 0-9 and letters a-f"
            )
        return key

    def _folder(self, key: str) -> Path:
        return self.root.joinpath("artifacts", self._check(key)[:2], key)

    def _keys(self) -> Iterator[str]:
        for folder in sorted((self.root / "artifacts").glob("??/*")):
            if KEY.fullmatch(folder.name):
                yield folder.name

    def _changed(
        self, found: Artifact, stamp: artifact.Stamp, sha256: Callable[[StrPath, Stop], str]
    ) -> list[str]:
        """What of an artifact has other content; it is moved aside, with what read it since."""
        files = list(artifact.other_content(found, lambda path: sha256(path, check_stopped)))
        wrong = [f"{path.relative_to(found.path)} has other content" for path in files]
        if wrong:
            since = artifact.last_change(files) // 1  # as exact as an artifact's own time
            self._quarantine(found.key, stamp, wrong, found)
            self._distrust(found.key, since)
        return wrong

    def _distrust(self, key: str, since: float) -> None:
        """Remove what was made from a damaged artifact after its files changed last.

        A step looks at its inputs before and after its work, so this is for damage that no
        time shows, and for what older versions made.
        """
        for each in list(self.artifacts()):
            if key in each.manifest["inputs"].values() and artifact.made(each) >= since:
                self.release(each.key)
                self.warn(f"{each.label} was made from it and will be made again too")
                self._distrust(each.key, since)

    def _quarantine(
        self, key: str, stamp: artifact.Stamp, wrong: list[str], found: Artifact | None
    ) -> None:
        """Move a damaged artifact aside, if it is still the one that was looked at."""
        if artifact.stamp(self._folder(key)) != stamp:
            return  # it was removed or replaced meanwhile
        label = found.label if found else key[:12]
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        told = f"the stored result of {label} is damaged ({'; '.join(wrong[:3])}{more})"
        target = self.root / "quarantine" / f"{key}-{uuid.uuid4().hex[:8]}"
        with self._locks.if_free(key) as held:
            if not held:  # whoever holds the lock is replacing it, maybe we ourselves
                self.warn(f"{told}; it will be made again")
            elif artifact.stamp(self._folder(key)) == stamp and self._folder(key).exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                self._folder(key).rename(target)
                self.damaged += 1
                self.warn(f"{told}; it was moved to {target} and will be made again")

    def _discard(self, key: str) -> int:
        folder = self._folder(key)
        released_manifests.note(self.root, key, folder)
        rubbish = self.root / "staging" / f"{key}-{uuid.uuid4().hex[:8]}"
        rubbish.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(rubbish)
        except FileNotFoundError:
            return 0
        try:
            return artifact.freed_bytes(rubbish)
        finally:
            _remove_wholly(rubbish)

    def _sweep(self, key: str) -> None:
        staging = self.root / "staging"
        for name in os.listdir(staging) if staging.exists() else ():  # noqa: PTH208 - seldom any
            if name.startswith(f"{key}-"):
                artifact.remove_tree(staging / name)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise EnvironmentProblem(
                f"the store in {self.root} cannot be written to: {error.strerror}",
                "set ORCHESTRATE_HOME to a folder of your own",
            ) from error


def _opened(root: Path, leases: frozenset[str]) -> Store:
    """A store in another process than the run's, whose log has the warnings."""
    store = Store(root, logging.getLogger(__name__).warning)
    store._locks.leases = leases
    return store


def _remove_wholly(rubbish: Path) -> None:
    """Remove a folder, also when an interrupt comes meanwhile, which is raised afterwards."""
    try:
        artifact.remove_tree(rubbish)
    except BaseException:
        if os.path.lexists(rubbish):
            artifact.remove_tree(rubbish)
        raise


def _machine() -> dict[str, JSON]:
    """Where something was made: speeds are the machine's as much as the file's."""
    found = machine_info.describe()
    id_ = machine_info.identity()
    return {"id": id_, "processor": found.processor, "cores": found.cores}
