"""Which files of a resolved Hub source are wanted; shared by describing and fetching it."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.base.step_values import JSON
from orchestrator.sources import choose_gguf
from orchestrator.sources.choose_model_files import (
    Selection,
    inside,
    select,
    select_adapter,
    select_files,
)


def folder_of(source: Mapping[str, JSON]) -> str:
    """What the paths of a source's files begin with: its subfolder and a slash, or nothing."""
    return f"{source['subfolder']}/" if source.get("subfolder") else ""


def hub_selection(source: Mapping[str, JSON], offline: bool) -> Selection:
    """The weights and the other files of a Hub source that are wanted, by their whole paths.

    Raises:
        UsageError, EnvironmentProblem, StepError: As :mod:`orchestrator.sources.hub.download`.
    """
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

    repo, commit, kind = source["repo"], source["commit"], source["repo_type"]
    listed = download.listing(repo, commit, repo_type=kind, offline=offline)
    if source["format"] == "gguf" and not source["member"]:
        return Selection(tuple(choose_gguf.chosen(listed, source["file"])), (), "gguf")
    if source["format"] == "lora":
        return select_adapter(listed)
    if source["file"]:
        return Selection(select_files(listed, [source["file"]]), (), "file")
    folder = folder_of(source)
    chosen = select(
        inside(listed, folder.rstrip("/")),
        weights="mistral" if source["format"] == "mistral" else "auto",
        trust_remote_code=bool(source["trust_remote_code"]),
        read_index=lambda name: download.read_file(
            repo, commit, folder + name, repo_type=kind, offline=offline, listed=listed
        ),
        quantized=lambda name: download.is_quantized(
            repo, commit, folder + name, repo_type=kind, offline=offline
        ),
    )
    return chosen.within(folder)
