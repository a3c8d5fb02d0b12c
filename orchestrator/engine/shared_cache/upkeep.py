"""Looking after a shared cache: reading all of it again, and removing what is oldest."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.step_values import JSON
from orchestrator.engine.artifact import Damaged
from orchestrator.engine.shared_cache import manifests
from orchestrator.engine.shared_cache.manifests import NotTrusted
from orchestrator.engine.shared_cache.remote_folder import PARTS, Found, RemoteFolder
from orchestrator.engine.shared_cache.shared_cache import blob

# What no manifest names may be on its way: its manifest comes last.
YOUNG_SECONDS = 86_400.0
_KEYS, _BLOBS, _DAMAGED = "v1/keys", "v1/blobs", "v1/damaged"


@dataclass(frozen=True)
class Removed:
    """What was removed: labels of results, files, and bytes in all."""

    labels: tuple[str, ...]
    files: int
    size: int


def verify(folder: RemoteFolder, trust: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Read a whole cache; yield each result with what is wrong, or with nothing.

    Raises:
        PlaceProblem: It does not answer.
    """
    content: dict[str, str] = {}
    for name, told in _manifests(folder, trust).items():
        if isinstance(told, str):
            yield name, told
            continue
        wrong = [each for each in _files(told) if _content(folder, each, content) != each]
        yield str(told["label"]), "; ".join(f"{each[:12]} is missing or changed" for each in wrong)


def _content(folder: RemoteFolder, sha256: str, known: dict[str, str]) -> str:
    if sha256 not in known:
        digest = hashlib.sha256()
        for piece in folder.pieces(blob(sha256)):
            digest.update(piece)
        known[sha256] = digest.hexdigest()
    return known[sha256]


def gc(folder: RemoteFolder, max_bytes: int | None) -> Removed:
    """Remove what no result names, and with a limit the results that were sent first.

    What is younger than a day by the cache's own clock stays if no result names it: it may be
    part of one that is being sent.

    Raises:
        PlaceProblem: It does not answer, or may not be written to.
    """
    sizes = {one.name: one for one in folder.files(_BLOBS)}
    results = sorted(folder.files(_KEYS), key=lambda one: (one.modified, one.name))
    told = _manifests(folder, ())
    used = {one.name: [blob(each) for each in _files(told[one.name])] for one in results}
    gone = _over(results, used, sizes, max_bytes)
    # The manifest first: a result without files would be a promise that is not kept.
    folder.remove(gone)
    kept = {name for one in results if one.name not in gone for name in used[one.name]}
    now = folder.now()
    loose = [one for one in sizes.values() if one.name not in kept]
    loose = [one for one in loose if _dropped(one, gone, used) or _old(one, now)]
    loose += [one for one in folder.files(PARTS) if _old(one, now)] + folder.files(_DAMAGED)
    folder.remove([one.name for one in loose])
    labels = tuple(_label(told[name], name) for name in gone)
    return Removed(labels, len(loose), sum(one.size for one in loose))


def _over(
    results: Collection[Found],
    used: Mapping[str, Collection[str]],
    sizes: Mapping[str, Found],
    limit: int | None,
) -> list[str]:
    """The names of the oldest manifests, without which the files of the others fit."""
    left = {one.name: one for one in results}

    def total() -> int:
        named = {name for one in left for name in used[one]}
        return sum(sizes[name].size for name in named if name in sizes)

    gone: list[str] = []
    for one in results if limit is not None else ():
        if limit is None or total() <= limit:
            break
        gone.append(one.name)
        del left[one.name]
    return gone


def _dropped(one: Found, gone: Collection[str], used: Mapping[str, Collection[str]]) -> bool:
    return any(one.name in used[name] for name in gone)


def _old(one: Found, now: float) -> bool:
    return now - one.modified > YOUNG_SECONDS


def _manifests(folder: RemoteFolder, trust: Sequence[Path]) -> dict[str, Mapping[str, JSON] | str]:
    """Every manifest by its name, or what is wrong with it."""
    names = [one.name for one in folder.files(_KEYS)]
    found: dict[str, Mapping[str, JSON] | str] = dict.fromkeys(names, "it is gone")
    for name, data in folder.read(names).items():
        key = name.rpartition("/")[2].removesuffix(".json")
        try:
            found[name] = manifests.opened(key, data, trust)[1]
        except (NotTrusted, Damaged) as error:
            found[name] = str(error)
    return found


def _files(told: Mapping[str, JSON] | str) -> list[str]:
    """The digests of a manifest's files."""
    if isinstance(told, str):
        return []
    return [str(entry["sha256"]) for _, entry in manifests.files(told) if "sha256" in entry]


def _label(told: Mapping[str, JSON] | str, name: str) -> str:
    return name if isinstance(told, str) else str(told["label"])
