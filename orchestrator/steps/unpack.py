"""Unpack an archive of tools: upstream's release, or one that somebody keeps."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.sources import archive, http_client


def run(task: Task) -> dict[str, JSON]:
    """Fetch the archive, unless it is here, check it and unpack it.

    Returns:
        Facts: the ``sha256`` of the archive and its ``url``, empty for a file of the user's.

    Raises:
        EnvironmentProblem: No address answers.
        StepError: There is none such, it is another one than stated, or it is damaged.
    """
    path, url = task.step.context.get("path"), ""
    if path is None:
        path, url = _fetched(task)
    found, stated = file_sha256(Path(path)), task.step.params.get("sha256") or ""
    if stated not in ("", found):
        shown = http_client.without_secrets(url) or path
        raise StepError(
            f"{shown} has SHA-256 {found}, not {stated}",
            "The file was changed or arrived damaged; fetch it again before you trust it.",
        )
    archive.unpack(Path(path), task.workdir)
    return {"sha256": found, "url": http_client.without_secrets(url)}


def _fetched(task: Task) -> tuple[Path, str]:
    """The first of the addresses that has something, and what it has."""
    urls = task.step.context["urls"]
    if task.offline:
        raise EnvironmentProblem(
            f"{http_client.without_secrets(urls[0])} is not stored here",
            "Run once without --offline.",
        )
    for url in urls:
        target = task.scratch / PurePosixPath(urlsplit(url).path).name
        if http_client.save(url, target, task.report, optional=True):
            return target, url
    shown = " or ".join(map(http_client.without_secrets, urls))
    raise StepError(f"there is no {shown}", "Build the tools, or name those that you have.")
