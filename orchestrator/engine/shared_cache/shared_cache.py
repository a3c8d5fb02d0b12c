"""The caches of a run: what they hold, what comes from them, what is sent to them.

A cache is never a reason to fail: one that does not answer or refuses is named once and not
asked again, and whatever does not come from it is made here. Only where machines exchange their
work by it, it is required.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Step
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact import MANIFEST, Artifact, Damaged
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.shared_cache import manifests, terms
from orchestrator.engine.shared_cache.manifests import NotTrusted
from orchestrator.engine.shared_cache.places import Remote
from orchestrator.engine.shared_cache.remote_folder import PlaceProblem, RemoteFolder
from orchestrator.engine.write_manifest import inner_path

Sent = Callable[[int], None]
_PRIVATE = "mark it '#private' if all who read it may have them"


class WrongFile(Exception):  # noqa: N818 - never leaves the cache
    """A blob is missing or holds something else; ``name`` is that of one that is wrong."""

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True)
class _Known:
    """A manifest that a place has."""

    place: RemoteFolder
    data: bytes
    manifest: Mapping[str, JSON]


class SharedCache:
    """The caches that a run may use, in their order; for any number of threads.

    Args:
        remote: Which, and what is believed of them.
        warn: Receives a sentence about each that cannot be used, and about what is wrong there.
        required: Whether one that cannot be used is an error, :class:`PlaceProblem`.
    """

    def __init__(
        self, remote: Remote, warn: Callable[[str], None], *, required: bool = False
    ) -> None:
        self.remote, self._warn, self._required = remote, warn, required
        self._places = [RemoteFolder(one, remote.patience) for one in remote.places]
        self._given_up: set[str] = set()
        self._known: dict[str, _Known | None] = {}

    @property
    def places(self) -> list[RemoteFolder]:
        """The caches that have answered so far, or were not asked yet."""
        return [one for one in self._places if one.place.url not in self._given_up]

    def holds(self, keys: Collection[str]) -> set[str]:
        """Which of these keys a cache has an artifact of; each is asked for once."""
        asked = [key for key in dict.fromkeys(keys) if key not in self._known]
        for folder in self.places:
            if asked:
                found = self._manifests(folder, asked)
                self._known |= found
                asked = [key for key in asked if key not in found]
        self._known |= dict.fromkeys(asked)
        return set(self.held(keys))

    def held(self, keys: Iterable[str]) -> list[str]:
        """Those of these keys that are known to be there; nothing is asked."""
        return [key for key in keys if self._known.get(key) is not None]

    def forget(self, key: str) -> None:
        """Take no artifact of a key from the caches any more: it is to be made here."""
        self._known[key] = None

    def ask_again(self, key: str) -> None:
        """Ask the caches for a key again when it is next wanted."""
        self._known.pop(key, None)

    def bring(
        self, key: str, store: Store, received: Callable[[int, int], None] = lambda _, __: None
    ) -> Artifact | None:
        """Bring a key's artifact into a store, every file checked while it comes.

        Args:
            key: The step's key, whose lock is not held.
            store: Where it goes, unless it is there.
            received: Told the bytes that came so far, and how many there are.

        Returns:
            The artifact, or None: then it has to be made.

        Raises:
            DiskFull: The store has no room for it.
            Interrupted: The run is interrupted.
        """
        with store.lock(key):
            if (found := store.find(key)) is not None:
                return found
            self.holds([key])
            while (known := self._known.get(key)) is not None:
                made = self._brought(known, key, store, received)
                if made is not None:
                    return made
                self._look_further(key, known.place)
        return None

    def _brought(
        self, known: _Known, key: str, store: Store, received: Callable[[int, int], None]
    ) -> Artifact | None:
        size = int(known.manifest.get("size", 0))
        with self._using(known.place), store.stage(key, size) as stage:
            try:
                done = 0
                for name, entry in manifests.files(known.manifest):
                    if "link" in entry:
                        continue  # made when no file can be written through it any more
                    path = inner_path(stage.workdir, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    for count in _receive(known.place, entry["sha256"], entry["size"], path):
                        done += count
                        received(done, size)
                return store.commit_copy(stage, known.data)
            except (WrongFile, Damaged, StepError, FileExistsError) as error:
                self._set_aside(known, key, error)
        return None

    def _look_further(self, key: str, beyond: RemoteFolder) -> None:
        """Ask the caches after one for a key that it has not given."""
        self._known[key] = None
        later = self._places[self._places.index(beyond) + 1 :]
        for folder in (one for one in later if one in self.places):
            if found := self._manifests(folder, [key]):
                self._known |= found
                return

    def recall(self, keys: Collection[str]) -> dict[str, Mapping[str, JSON]]:
        """How steps were done, by key; of those that a cache has a result or a record of."""
        self.holds(keys)
        known = {key: self._known[key] for key in self.held(keys)}
        told: dict[str, Mapping[str, JSON]] = {k: one.manifest for k, one in known.items() if one}
        for folder in self.places:
            asked = [key for key in keys if key not in told]
            told |= {
                key: one.manifest for key, one in self._manifests(folder, asked, "records").items()
            }
        return told

    def push(self, step: Step, made: Artifact, sent: Sent = lambda _: None) -> bool:
        """Send what a step made to every cache that may have it, files first.

        Args:
            step: The step; its kind and its terms say what may be sent.
            made: What it made; to be held by the caller.
            sent: Told the bytes of each file that was sent; not of those that were there.

        Returns:
            Whether a cache has the whole result now.

        Raises:
            OSError: A file cannot be read.
            UsageError: The key cannot sign.
        """
        whole = step_kinds.is_shared(step) and manifests.portable(made.manifest)
        data = (made.path.parent / MANIFEST).read_bytes()
        data = manifests.signed(
            data if whole else manifests.record(made.manifest), self.remote.sign_key
        )
        there = False
        for folder in self.places:
            if folder.place.read_only:
                continue
            if why := terms.objection(step, folder.place):
                self._warn(f"results are not sent to {folder.place.shown}: {why}; {_PRIVATE}")
                continue
            with self._using(folder):
                if whole:
                    _send_files(folder, made, sent)
                folder.create(_name("keys" if whole else "records", made.key), data)
                there = whole
        return there

    # -- one place -------------------------------------------------------------------------

    def _manifests(
        self, folder: RemoteFolder, keys: Sequence[str], kind: str = "keys"
    ) -> dict[str, _Known]:
        """The manifests that a place has and that may be believed."""
        names = {_name(kind, key): key for key in keys}
        found: dict[str, _Known] = {}
        with self._using(folder):
            for name, data in folder.read(list(names)).items():
                key = names[name]
                try:
                    payload, manifest = manifests.opened(key, data, self.remote.trust)
                except NotTrusted as error:
                    self._warn(f"a manifest in {folder.place.shown} is not used: {error}")
                except Damaged as error:
                    self._warn(f"{name} in {folder.place.shown} is not used: {error}")
                    self._move_aside(folder, name)
                else:
                    found[key] = _Known(folder, payload, manifest)
        return found

    def _set_aside(self, known: _Known, key: str, error: Exception) -> None:
        folder, label = known.place, known.manifest.get("label", key[:12])
        self._warn(f"{label} in {folder.place.shown} is not used: {error}")
        self._move_aside(folder, _name("keys", key))
        if isinstance(error, WrongFile) and error.name:
            self._move_aside(folder, error.name)

    def _move_aside(self, folder: RemoteFolder, name: str) -> None:
        """Put what is wrong out of the way of those who make it anew, where that may be done."""
        if not folder.place.read_only:
            with self._using(folder):
                folder.move(name, f"v1/damaged/{Path(name).name}-{uuid.uuid4().hex[:8]}")

    @contextmanager
    def _using(self, folder: RemoteFolder) -> Iterator[None]:
        """Give a place up that fails, and say so once."""
        try:
            yield
        except PlaceProblem as error:
            if self._required:
                raise
            if folder.place.url not in self._given_up:
                self._given_up.add(folder.place.url)
                self._warn(f"{error.message}; it is not asked again")


def _name(kind: str, key: str) -> str:
    return f"v1/{kind}/{key[:2]}/{key}.json"


def blob(sha256: str) -> str:
    """Where the bytes with this digest are in a place."""
    return f"v1/blobs/{sha256[:2]}/{sha256}"


def _send_files(folder: RemoteFolder, made: Artifact, sent: Sent) -> None:
    for name, entry in manifests.files(made.manifest):
        if "link" not in entry and folder.size(blob(entry["sha256"])) != entry["size"]:
            folder.put(made.path / name, blob(entry["sha256"]))
            sent(int(entry["size"]))


def _receive(folder: RemoteFolder, sha256: str, size: int, path: Path) -> Iterator[int]:
    """Write a blob to a path and yield the bytes of each piece.

    Raises:
        WrongFile: It is not what it is called.
    """
    name, digest, done = blob(sha256), hashlib.sha256(), 0
    with path.open("xb") as file:
        for piece in folder.pieces(name):
            digest.update(piece)
            file.write(piece)
            done += len(piece)
            yield len(piece)
            if done > size:
                break
    if done != size:
        wrong = name if done else ""  # of none at all it is missing
        raise WrongFile(f"{sha256[:12]} has {done} bytes or more, not {size}", wrong)
    if digest.hexdigest() != sha256:
        raise WrongFile(f"the file {sha256[:12]} has other content", name)
