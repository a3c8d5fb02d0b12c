"""Whether an upstream's own repository can be reached from here."""

from __future__ import annotations

from git import Git, GitCommandError

from orchestrator.sources.git import REACH_SECONDS


def reachable(url: str) -> str:
    """Why a repository cannot be used, or nothing."""
    try:
        Git().ls_remote(url, "HEAD", kill_after_timeout=REACH_SECONDS)
    except GitCommandError as error:
        return f"{url} cannot be reached: {str(error.stderr).strip().splitlines()[-1]}"
    return ""
