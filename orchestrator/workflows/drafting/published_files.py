"""The GGUF files that somebody published of a model: in a folder, or in a repository."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.base.errors import EnvironmentProblem, StepError, UsageError
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import gguf_parts
from orchestrator.planning.resolved_source import Resolved
from orchestrator.workflows.drafting.survey_findings import REPOSITORY

# What lies beside quantized files: a matrix, and the part of a model that sees or hears.
_MATRIX = re.compile(r"(?i).*(\.imatrix|imatrix[^/]*\.(dat|gguf)|\.imatrix\.\w+)")
_BESIDE = re.compile(r"(?i)(^|.*[-._/])mmproj[-._].*")
_CARD = "README.md"


@dataclass(frozen=True)
class Published:
    """One model file, or all parts of a split one.

    Attributes:
        name: Path of the file, or of the first part.
        digests: SHA-256 of each part by its path.
        size: Bytes of all.
        source: Where its header is to be read.
    """

    name: str
    digests: Mapping[str, str]
    size: int
    source: Resolved


@dataclass(frozen=True)
class Place:
    """What was found: the files, and what is known beside them.

    Attributes:
        files: The model files.
        matrices: Sources of importance matrices, as recipes say them.
        bases: The repositories that the card says the files were made from.
        uploaded: When the newest of the files came there (ISO 8601, UTC); empty if unknown.
        where: ``hub`` and ``revision`` of the repository, for what is published.
        folder: The folder, for what is there.
    """

    files: tuple[Published, ...]
    matrices: tuple[Mapping[str, str], ...] = ()
    bases: tuple[str, ...] = ()
    uploaded: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


def here(path: Path, digest: Callable[[Path], str]) -> Place:
    """A file, all parts of one, or all GGUF files of a folder.

    Raises:
        UsageError: There is none.
        FormatError: A part is missing or damaged.
    """
    if not path.is_dir():
        return Place((_local(path.parent, gguf_parts.files(path), digest),), folder=path.parent)
    names = sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file())
    sets = _sets(names, str(path))
    files = tuple(_local(path, gguf_parts.files(path / one[0]), digest) for one in sets)
    matrices = tuple({"path": str(path / name)} for name in names if _MATRIX.fullmatch(name))
    return Place(files, matrices, _bases(_local_card(path)), folder=path)


def on_hub(text: str, *, offline: bool = False) -> Place:
    """All GGUF files of a repository, ``owner/name`` or ``owner/name@revision``.

    Raises:
        UsageError: There is no such file, folder or repository, or it has no GGUF files.
        EnvironmentProblem: No access, no network, or offline.
        StepError: A part is missing.
    """
    from orchestrator.sources import choose_gguf  # noqa: PLC0415 - the Hub's library is heavy
    from orchestrator.sources.hub import dates, download  # noqa: PLC0415
    from orchestrator.sources.hub.repository_info import card  # noqa: PLC0415

    repo, _, revision = text.partition("@")
    if not REPOSITORY.fullmatch(repo):
        raise UsageError(
            f"there is no file or folder {text}",
            "Name a GGUF file, a folder of them, or a repository as owner/name.",
        )
    if offline:
        raise EnvironmentProblem(f"{repo} cannot be read offline", "Run without --offline.")
    about = card(repo, revision or "main")
    where = {"hub": repo, "revision": about.commit}
    listed = download.listing(repo, about.commit)
    names = [file.path for file in listed]
    found = []
    for one in _sets(names, repo):
        files = choose_gguf.chosen(listed, one[0])
        source = _source(where, one[0])
        digests = {file.path: file.sha256 or "" for file in files}
        found.append(Published(one[0], digests, sum(file.size for file in files), source))
    times = dates.of_files(repo, about.commit)
    uploaded = max((times.get(one.name, "") for one in found), default="")
    matrices = tuple({**where, "file": name} for name in names if _MATRIX.fullmatch(name))
    return Place(tuple(found), matrices, _bases(about.metadata), uploaded, where)


def _sets(names: Iterable[str], where: str) -> list[tuple[str, ...]]:
    """The model files among names, each as all parts of its set."""
    models = (
        name
        for name in names
        if name.endswith(".gguf") and not (_MATRIX.fullmatch(name) or _BESIDE.fullmatch(name))
    )
    found = sorted({gguf_parts.names(name) for name in models})
    if not found:
        raise UsageError(f"{where} has no GGUF files", "Name a folder or a repository that has.")
    return found


def _local(root: Path, paths: Sequence[Path], digest: Callable[[Path], str]) -> Published:
    by_name = {path.relative_to(root).as_posix(): digest(path) for path in paths}
    identity = {
        "kind": "path",
        "files": {path.name: by_name[path.relative_to(root).as_posix()] for path in paths},
        "member": "",
    }
    source = Resolved(identity, {"path": str(paths[0].absolute().parent)}, "gguf")
    size = sum(path.stat().st_size for path in paths)
    return Published(next(iter(by_name)), by_name, size, source)


def _source(where: Mapping[str, str], name: str) -> Resolved:
    identity: dict[str, JSON] = {
        "kind": "hub",
        "repo": where["hub"],
        "repo_type": "model",
        "commit": where["revision"],
        "format": "gguf",
        "file": name,
        "member": "",
    }
    return Resolved(identity, {}, "gguf")


def _local_card(folder: Path) -> Mapping[str, Any]:
    """The front matter of a folder's README; empty when it has none that can be read."""
    from orchestrator.sources.hub import card_metadata  # noqa: PLC0415 - its library is heavy

    try:
        text = (folder / _CARD).read_text("utf-8", errors="replace")
        return card_metadata.metadata(text, _CARD)
    except (OSError, StepError):
        return {}


def _bases(card: Mapping[str, Any]) -> tuple[str, ...]:
    said = card.get("base_model")
    listed = said if isinstance(said, list) else [said]
    return tuple(one for one in listed if isinstance(one, str) and REPOSITORY.fullmatch(one))
