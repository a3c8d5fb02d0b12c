"""What must hold after a try that was killed, interrupted, or ran out of disk."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.support.typed_commands import processes, typed

PATIENCE = 30.0  # seconds in which the tools of a killed process must have ended
EARLY = "early"  # the process was ended before this program's first line


@dataclass(frozen=True)
class Place:
    """The folder of one try; all that its commands may write lies in these folders of it.

    ``store`` and the outputs may lie on a disk of their own.
    """

    root: Path
    disk: Path

    @property
    def store(self) -> Path:
        """The store of finished steps."""
        return self.disk / "store"

    @property
    def dist(self) -> Path:
        """Where runs put their files."""
        return self.disk / "dist"

    @property
    def published(self) -> Path:
        """Where files are published to."""
        return self.disk / "published"

    @property
    def site(self) -> Path:
        """Where pages are written."""
        return self.disk / "site"

    @property
    def work(self) -> Path:
        """Recipes that commands write, and those beside which they write locks."""
        return self.disk / "work"

    @property
    def search(self) -> Path:
        """A recipe of an upstream with a history, and that upstream."""
        return self.work / "search"

    @property
    def home(self) -> Path:
        """The user's home, with the cache of the Hub; nothing else is to lie in it."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """The system's folder for temporary files."""
        return self.root / "temporary"


def after_every_try(place: Place, *, tidy: bool) -> list[str]:
    """What should not be, or not be like that.

    Args:
        place: Where the try worked.
        tidy: Whether its process could end by itself: then nothing unfinished is left.
    """
    return [
        *_living(place),
        *_strangers(place),
        *(_unfinished(place) if tidy else ()),
        *_databases(place),
        *_sums(place.dist),
        *_sums(place.published),
        *_store(place),
    ]


def _living(place: Place) -> Iterator[str]:
    end = time.monotonic() + PATIENCE
    while (found := processes(place.root)) and time.monotonic() < end:
        time.sleep(0.02)
    yield from (f"a process is left: {words[:200]}" for words in found.values())


def _strangers(place: Place) -> Iterator[str]:
    """Files outside of the folders that commands may write to."""
    ours = {place.store, place.dist, place.published, place.site, place.work, place.disk}
    ours |= {place.home, place.temporary, place.root / "hub"}
    for folder in {place.root, place.disk}:
        yield from (f"outside: {path}" for path in folder.iterdir() if path not in ours)
    # pip asks rustc for its version, and rustup then keeps its settings.
    allowed = [place.home / name for name in ("hub-cache", "huggingface", ".rustup")]
    yield from (f"in the home: {path}" for path in place.home.iterdir() if path not in allowed)


def _unfinished(place: Place) -> Iterator[str]:
    for name in ("staging", "reproduce"):
        yield from (f"in {name}: {path.name}" for path in (place.store / name).glob("*"))
    yield from (f"left behind: {path}" for path in place.temporary.iterdir())


def _databases(place: Place) -> Iterator[str]:
    for path in place.store.glob("*.sqlite"):
        try:
            with closing(sqlite3.connect(path)) as database:
                said = database.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.Error as error:
            said = str(error)
        yield from [f"{path.name}: {said}"] if said != "ok" else []


def _sums(folder: Path) -> Iterator[str]:
    """Files that their SHA256SUMS does not describe, in a folder and those in it."""
    for sums in folder.rglob("SHA256SUMS"):
        for line in sums.read_text("utf-8").splitlines():
            digest, name = line.split("  ", 1)
            path = sums.parent / name
            if not path.is_file():
                yield f"{path} is missing"
            elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                yield f"{path} is not what SHA256SUMS says"


def _store(place: Place) -> Iterator[str]:
    said = typed("store", "verify", home=place.store)
    yield from [f"store verify: {said.all[-500:]}"] if said.code else []
