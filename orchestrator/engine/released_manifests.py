"""How artifacts were made, remembered when their files are given back.

Intermediate files are removed as soon as nobody needs them, but what was made from them
stays, and so must the record of how: ``released/`` in the store's root holds the manifests
of removed artifacts, by key.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from orchestrator.base import json_text
from orchestrator.base.atomic_file import put
from orchestrator.base.step_values import JSON
from orchestrator.engine.artifact import MANIFEST

FOLDER = "released"


def note(root: Path, key: str, artifact: Path) -> None:
    """Keep the manifest of an artifact that is about to be removed, if it has one.

    Removing must work on a full disk too: then the record is lost, and nothing else.
    """
    source, target = artifact / MANIFEST, _place(root, key)
    with contextlib.suppress(OSError):
        put(target, source.read_bytes())


def keep(root: Path, key: str, manifest: Mapping[str, JSON]) -> None:
    """Keep what somebody else says of how an artifact was made."""
    with contextlib.suppress(OSError):
        put(_place(root, key), json.dumps(manifest, indent=1).encode())


def recall(root: Path, key: str) -> Mapping[str, JSON] | None:
    """The manifest of an artifact that was removed; None when none is known or readable."""
    try:
        found = json_text.parse(_place(root, key).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _place(root: Path, key: str) -> Path:
    return root / FOLDER / key[:2] / f"{key}.json"
