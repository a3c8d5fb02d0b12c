"""Addresses where an upstream's home shows its history; pure."""

from __future__ import annotations

import re

_REPOSITORY = re.compile(
    r"https://(?:www\.)?github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9._-]+?)(?:\.git)?/?"
)
_CHANGE = re.compile(r"\(#(\d+)\)\s*\Z")
COMMIT = re.compile(r"[0-9a-f]{7,40}")


def compare_url(source: str, before: str, after: str) -> str:
    """Where a source on GitHub shows what lies between two commits; empty for others."""
    base = _github(source)
    known = base and COMMIT.fullmatch(before) and COMMIT.fullmatch(after) and before != after
    return f"{base}/compare/{before}...{after}" if known else ""


def commit_url(source: str, commit: str) -> str:
    """Where a source on GitHub shows a commit; empty for others."""
    base = _github(source)
    return f"{base}/commit/{commit}" if base and COMMIT.fullmatch(commit) else ""


def change_url(source: str, subject: str) -> str:
    """Where a source on GitHub shows the pull request that a commit's subject names; or empty.

    GitHub ends the subject of a squashed pull request with its number, as in ``(#1234)``.
    """
    base, found = _github(source), _CHANGE.search(subject)
    return f"{base}/pull/{found[1]}" if base and found else ""


def _github(source: str) -> str:
    found = _REPOSITORY.fullmatch(source)
    return f"https://github.com/{found[1]}/{found[2]}" if found and found[2] != ".." else ""
