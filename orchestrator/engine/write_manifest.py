"""Makes a folder complete before it becomes an artifact: links, digests, manifest.

Everything happens in staging; the store renames the result into place.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from orchestrator.base import digest
from orchestrator.base.digest import file_sha256, tree_files
from orchestrator.base.errors import StepError
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.step_values import JSON
from orchestrator.engine.artifact import LISTING, MANIFEST, USED, Entry, file_size


def seal(
    folder: Path, manifest: Mapping[str, JSON], facts: Mapping[str, JSON], hash_files: bool
) -> dict[str, JSON]:
    """Describe a folder's files and write the manifest beside it, last; return the manifest.

    Raises:
        StepError: A name or a link leads out of the folder, or a fact is no JSON.
    """
    whole = _plain({**manifest, **_describe(folder, facts, hash_files)})
    (folder.parent / USED).touch()
    signed = {**whole, "digest": digest.key(whole)}
    _write_synced(folder.parent / MANIFEST, json.dumps(signed, indent=1).encode())
    return whole


def seal_copy(folder: Path, entries: Mapping[str, Entry], manifest: bytes) -> None:
    """Complete a folder that was copied from elsewhere, with the manifest that came with it.

    Raises:
        StepError: A name or a link leads out of the folder.
    """
    for name, entry in entries.items():
        if "link" in entry:
            path = inner_path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(entry["link"])
            _inner_link(path, folder)  # before the next, which might be made through this one
    _make_read_only(folder, entries)
    (folder.parent / USED).touch()
    _write_synced(folder.parent / MANIFEST, manifest)


def _plain(manifest: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the manifest as it will be read back."""
    try:
        plain: dict[str, JSON] = json.loads(json.dumps(manifest, allow_nan=False))
    except (TypeError, ValueError) as error:
        label = manifest.get("label", "a step")
        raise StepError(f"{label}: its facts cannot be kept as JSON: {error}") from error
    return plain


def _describe(folder: Path, facts: Mapping[str, JSON], hash_files: bool) -> dict[str, JSON]:
    """Return the part of a manifest that tells what the artifact holds."""
    references: Mapping[str, Entry] = facts.get("references", {})
    digests: Mapping[str, str] = facts.get("digests", {})
    told = {name: fact for name, fact in facts.items() if name not in ("references", "digests")}
    _refer(folder, references)
    if hash_files:
        entries = _entries(folder, references, digests)
        _make_read_only(folder, entries)
        return {"facts": told, "files": entries, "size": _size(entries)}
    entries = _tree_entries(folder)
    listing = folder.parent / LISTING
    _write_synced(listing, json.dumps(entries, separators=(",", ":")).encode())
    tree = {
        "files": len(entries),
        "listing_size": listing.stat().st_size,
        "listing_sha256": file_sha256(listing),
    }
    return {"facts": told, "files": {}, "tree": tree, "size": _size(entries)}


def _size(entries: Mapping[str, Entry]) -> int:
    return sum(entry.get("size", 0) for entry in entries.values() if "reference" not in entry)


def inner_path(folder: Path, name: str) -> Path:
    """Return the path of a relative POSIX name inside a folder.

    Raises:
        StepError: The name would lead out of the folder.
    """
    pure = PurePosixPath(name)
    odd = pure.is_absolute() or not pure.parts or ".." in pure.parts or "\0" in name
    if odd or (sys.platform == "win32" and any(c in name for c in '\\:*?"<>|')):
        raise StepError(f"{name!r} is no name for a file in an artifact")
    return folder / pure


def _refer(folder: Path, references: Mapping[str, Entry]) -> None:
    """Link files outside the store into an artifact's folder.

    Raises:
        StepError: A name leads out of the folder or is taken, or a target is no such file.
    """
    for name, entry in references.items():
        link, target = inner_path(folder, name), Path(entry["path"])
        if os.path.lexists(link):
            raise StepError(f"{name} is both a file of the step and a reference to {target}")
        if not target.is_absolute() or not 0 <= entry["size"] == file_size(target):
            raise StepError(
                f"{target}, which {name} refers to, is not a file of {entry['size']} bytes"
            )
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            link.symlink_to(target)
        except OSError:
            if sys.platform != "win32":
                raise
            os.link(target, link)  # symbolic links need a privilege there


def _entries(
    folder: Path,
    references: Mapping[str, Entry],
    digests: Mapping[str, str],
) -> dict[str, Entry]:
    """Return the entry of every file in a folder, hashing what ``digests`` does not know.

    Raises:
        StepError: A link leads out of the folder.
    """
    entries: dict[str, Entry] = {}
    for name in tree_files(folder):
        path = folder / name
        if name in references:
            known = references[name]
            entries[name] = {
                "size": known["size"], "sha256": known["sha256"], "reference": known["path"]
            }  # fmt: skip
        elif path.is_symlink():
            entries[name] = {"link": _inner_link(path, folder)}
        else:
            sha256 = digests.get(name) or file_sha256(path, check_stopped)
            entries[name] = {"size": path.stat().st_size, "sha256": sha256}
    return entries


def _inner_link(link: Path, folder: Path) -> str:
    text = os.readlink(link)  # noqa: PTH115 - Path.readlink would change the spelling
    if Path(text).is_absolute() or not link.resolve().is_relative_to(folder.resolve()):
        raise StepError(f"the link {link.name} leads out of the artifact, to {text}")
    return text


def _tree_entries(folder: Path) -> dict[str, Entry]:
    """Return sizes and links of a tree of very many files, without compiled Python."""
    entries: dict[str, Entry] = {}
    for name in tree_files(folder):
        if name.endswith(".pyc"):
            continue  # Python rewrites these when it likes
        found = (folder / name).lstat()
        if stat.S_ISLNK(found.st_mode):
            entries[name] = {"link": os.readlink(folder / name)}  # noqa: PTH115 - as above
        else:
            entries[name] = {"size": found.st_size}
    return entries


def _make_read_only(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Take away write permission, so that no tool changes a stored file, or a hard link to it."""
    for name, entry in entries.items():
        if "link" not in entry and "reference" not in entry:
            path = folder / name
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~0o222)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename inside a folder last through a power failure, where that can be asked."""
    if os.name != "posix":
        return  # folders cannot be opened there
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
