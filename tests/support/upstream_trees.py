"""Trees of files that stand in for upstream's source at some commit."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch

from orchestrator.toolchain.variants import Read


def reader(files: Mapping[str, str]) -> Read:
    """A reader of files that are there by their paths."""
    return lambda pattern: [text for path, text in files.items() if fnmatch(path, pattern)]
