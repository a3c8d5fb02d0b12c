"""Manifests as they travel: signed where there is a key, believed where one is trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.base import digest, dsse_signature, json_text
from orchestrator.base.errors import OrchestrateError, UsageError
from orchestrator.base.step_values import JSON
from orchestrator.engine import artifact
from orchestrator.engine.artifact import Damaged, Entry

PAYLOAD = "application/vnd.orchestrate.manifest+json"
FORMAT = 1


class NotTrusted(Exception):  # noqa: N818 - said in a warning
    """A manifest is signed by nobody who is trusted."""


def signed(manifest: bytes, key: Path | None) -> bytes:
    """A manifest as it is sent.

    Raises:
        UsageError: The key cannot sign.
    """
    return manifest if key is None else dsse_signature.sign(manifest, PAYLOAD, key).encode("utf-8")


def opened(key: str, data: bytes, trust: Sequence[Path]) -> tuple[bytes, dict[str, JSON]]:
    """A manifest that came from elsewhere: its bytes as in a store, and what it says.

    Args:
        key: The step's key.
        data: What the cache holds.
        trust: Public keys (PEM), one of which must have signed it; none: anybody may.

    Raises:
        NotTrusted: None of them has.
        Damaged: It is no manifest of this key, or of another format.
    """
    payload = _payload(data, trust)
    found = artifact.parse(key, payload)
    if found.get("format") != FORMAT:
        raise Damaged(f"it has the format {found.get('format')!r}, not {FORMAT}")
    return payload, found


def _payload(data: bytes, trust: Sequence[Path]) -> bytes:
    try:
        content = json_text.parse(data)
    except ValueError as error:
        raise Damaged("it is not JSON") from error
    enveloped = isinstance(content, dict) and "payload" in content
    if not trust:
        return _unverified(data) if enveloped else data
    for key in trust if enveloped else ():
        try:
            return dsse_signature.verify(data, PAYLOAD, key)
        except UsageError:  # the key itself is none
            raise
        except OrchestrateError:
            continue
    raise NotTrusted("it is not signed by a key that is trusted")


def _unverified(data: bytes) -> bytes:
    try:
        return dsse_signature.unverified(data)
    except ValueError as error:
        raise Damaged("it is no signed envelope") from error


def files(manifest: Mapping[str, JSON]) -> Iterator[tuple[str, Entry]]:
    """The files of a manifest that came from elsewhere, by their names.

    Raises:
        Damaged: It refers to files outside the store, or does not say what they hold.
    """
    entries = manifest.get("files")
    if not isinstance(entries, dict) or "tree" in manifest:
        raise Damaged("it does not list its files")
    for name, entry in entries.items():
        if not isinstance(entry, dict) or not (_is_link(entry) or _is_file(entry)):
            raise Damaged(f"it does not say what {name} holds")
        yield name, entry


def _is_link(entry: Entry) -> bool:
    return entry.keys() == {"link"} and isinstance(entry["link"], str)


def _is_file(entry: Entry) -> bool:
    told = entry.keys() == {"size", "sha256"} and type(entry["size"]) is int
    return told and entry["size"] >= 0 and digest.is_sha256(entry["sha256"])


def portable(manifest: Mapping[str, JSON]) -> bool:
    """Whether an artifact can be sent: every file of it is its own, and has a digest."""
    try:
        list(files(manifest))
    except Damaged:
        return False
    return True


def record(manifest: Mapping[str, JSON]) -> bytes:
    """How a step was done, without the places of files on this machine."""
    entries = {
        name: {part: entry[part] for part in ("size", "sha256", "link") if part in entry}
        for name, entry in manifest["files"].items()
    }
    told = {**{name: one for name, one in manifest.items() if name != "digest"}, "files": entries}
    return json.dumps({**told, "digest": digest.key(told)}, indent=1).encode()
