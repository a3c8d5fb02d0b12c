"""Which files a source of GGUF weights stands for: one, or all parts of a split one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import gguf_parts
from orchestrator.sources.hub.wanted_files import hub_selection


def names(source: Mapping[str, JSON], offline: bool) -> list[str]:
    """The files of a resolved source, the first part first; raises as ``choose_gguf.chosen``."""
    if source["kind"] == "path":
        return list(source["files"])
    file = str(source["name"] if source["kind"] == "url" else source["file"])
    if file:
        return list(gguf_parts.names(file))
    return [file.path for file in hub_selection(source, offline).weights]


def part(
    source: Mapping[str, JSON], context: Mapping[str, JSON], name: str
) -> tuple[dict[str, JSON], dict[str, JSON]]:
    """The source, and where it is, of one of its files alone."""
    if source["kind"] == "path":
        return {**source, "files": {name: source["files"][name]}}, dict(context)
    if source["kind"] != "url" or name == source["name"]:
        return {**source, "file": name}, dict(context)
    parsed = urlsplit(str(context["url"]))
    path = str(PurePosixPath(parsed.path).with_name(quote(name)))
    url = parsed._replace(path=path).geturl()
    sha256 = source.get("files", {}).get(name, "")
    return {**source, "name": name, "sha256": sha256}, {**context, "url": url}
