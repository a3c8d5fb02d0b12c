"""Recipe sources made definite: moving references become commits, local files digests.

This is the one place before a run that may ask the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.base.digest import require_text
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import gguf_parts, safetensors
from orchestrator.planning.lockfile import Lock
from orchestrator.planning.resolved_source import Resolved
from orchestrator.recipe.source_fields import AdapterSource, Matrix, Source, Weights
from orchestrator.sources import choose_gguf, text_corpus
from orchestrator.sources.choose_model_files import (
    HubFile,
    no_folder,
    select,
    select_adapter,
    select_files,
)

PTH_PATTERNS = ("*.pth", "params.json", "tokenizer.model")
PTH_OPTIONAL = "added_tokens.json"


@dataclass(frozen=True)
class Resolver:
    """Resolves sources with the digests that the store remembers.

    ``digest`` gives a local file's SHA-256; ``offline`` forbids every request; ``lock``
    says what moving references mean, without a request.
    """

    digest: Callable[[Path], str]
    offline: bool = False
    lock: Lock | None = None

    def resolve(self, source: Source) -> Resolved:
        """Make one source definite.

        Raises:
            EnvironmentProblem: A moving reference cannot be resolved without the network.
            UsageError: A local folder holds no weights, checksums do not fit, or a local text
                is none.
        """
        if isinstance(source, Matrix):
            _expect_one_file(source)
        table = {
            "hub": self._hub,
            "pypi": self._pypi,
            "path": self._path,
            "url": self._url,
        }
        return table[source.kind](source)

    def _hub(self, source: Source) -> Resolved:
        from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

        assert source.hub is not None
        if (source.sha256 or source.member) and not source.file:
            raise UsageError(
                f"{source.hub}: 'sha256' and 'member' are about one file, and none is named",
                "Add 'file', or state checksums by path in 'files'.",
            )
        revision = source.revision or "main"
        kind = source.repo_type
        locked = self.lock.commit_of(kind, source.hub, revision) if self.lock else ""
        commit = locked or download.resolve(
            source.hub, revision, repo_type=kind, offline=self.offline
        )
        identity = {
            "kind": "hub",
            "repo": source.hub,
            "repo_type": source.repo_type,
            "commit": commit,
            **_selection(source),
        }
        moved = revision if not locked and commit != revision else ""
        context = {"revision": moved} if moved else {}
        return Resolved(identity, context, _format(source), moved)

    def _pypi(self, source: Source) -> Resolved:
        assert source.pypi is not None
        identity = {
            "kind": "pypi",
            "package": source.pypi.package,
            "version": source.pypi.version,
            "file": source.pypi.file,
            "sha256": source.sha256 or "",
            "files": dict(source.files),
        }
        return Resolved(identity, {}, _format(source), "" if source.sha256 else "no sha256")

    def _url(self, source: Source) -> Resolved:
        assert source.url is not None
        name = urlsplit(source.url).path.rstrip("/").rpartition("/")[2]
        identity = {
            "kind": "url",
            "sha256": source.sha256 or "",
            "name": name if name not in ("", ".", "..") else "file",
            "member": source.member or "",
            **({"files": dict(source.files)} if source.files else {}),
        }
        _require_digests(identity, _format(source))
        return Resolved(identity, {"url": source.url}, _format(source))

    def _path(self, source: Source) -> Resolved:
        assert source.path is not None
        root = source.path
        if not root.exists():
            raise UsageError(f"there is no file or folder {root}", "Put it where the recipe says.")
        if folder := _subfolder(source):
            root = _existing(root, folder)
        if _format(source) == "gguf" and not source.member:
            paths = choose_gguf.in_folder(root)
            files, root = {path.name: self.digest(path) for path in paths}, paths[0].parent
        elif root.is_dir():
            files = {name: self.digest(root / name) for name in _wanted(root, source)}
        else:
            files = {root.name: self.digest(root)}
            root = root.parent
        for name in files:
            require_text(name)
        _hold(files, source)
        if _format(source) == "file" and not source.member:
            for name, sha256 in files.items():
                _expect_text(root / name, sha256)
        identity = {"kind": "path", "files": files, "member": source.member or ""}
        return Resolved(identity, {"path": str(root)}, _format(source))


@cache
def _expect_text(path: Path, sha256: str) -> None:
    """Refuse a file that is no text; once for each content, for many recipes read the same."""
    del sha256
    text_corpus.notes(path, str(path))


def _expect_one_file(source: Matrix) -> None:
    if source.path is not None and source.path.is_dir():
        raise UsageError(f"{source.path} is a folder, not one file", "Name the file in it.")
    if source.hub is not None and not source.file:
        raise UsageError(f"{source.hub}: which file is meant is not said", "Add 'file'.")


def _format(source: Source) -> str:
    return source.format if isinstance(source, Weights | Matrix | AdapterSource) else "file"


def _subfolder(source: Source) -> str:
    return (source.subfolder or "") if isinstance(source, Weights) else ""


def _existing(root: Path, folder: str) -> Path:
    if not (root / folder).is_dir():
        there = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir()]
        raise no_folder(str(root), folder, there)
    return root / folder


def _selection(source: Source) -> dict[str, JSON]:
    code = isinstance(source, Weights) and source.trust_remote_code
    folder = _subfolder(source)
    return {
        **({"subfolder": folder} if folder else {}),
        "format": _format(source),
        "trust_remote_code": code,
        "file": source.file or "",
        "member": source.member or "",
        "sha256": source.sha256 or "",
        "files": dict(source.files),
    }


def _wanted(root: Path, source: Source) -> list[str]:
    """The files of a local folder that a repository of the same kind would give."""
    files = tuple(
        HubFile(path.relative_to(root).as_posix(), path.stat().st_size, None, None)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    )
    if source.file:
        return [file.path for file in select_files(files, [source.file])]
    if _format(source) == "pth":
        optional = [PTH_OPTIONAL] if any(file.path == PTH_OPTIONAL for file in files) else []
        return [file.path for file in select_files(files, [*PTH_PATTERNS, *optional])]
    if _format(source) == "lora":
        return list(select_adapter(files).paths)
    chosen = select(
        files,
        weights="mistral" if _format(source) == "mistral" else "auto",
        trust_remote_code=bool(_selection(source)["trust_remote_code"]),
        read_index=lambda name: (root / name).read_bytes(),
        quantized=lambda name: safetensors.quantized(
            partial(safetensors.file_range, root / name), name
        ),
    )
    return list(chosen.paths)


def _require_digests(identity: Mapping[str, JSON], form: str) -> None:
    """Refuse a model in parts at an address of which only one checksum is stated."""
    parts = gguf_parts.names(identity["name"]) if form == "gguf" else ()
    stated = {identity["name"], *identity.get("files", ())}
    missing = [name for name in parts if name not in stated]
    if missing:
        raise UsageError(
            f"{identity['name']} is one of {len(parts)} parts, and no SHA-256 of {missing[0]} "
            "is stated",
            "State the checksums of the other parts by name in 'files'.",
        )


def _hold(files: Mapping[str, str], source: Source) -> None:
    """Compare local files with the checksums that the recipe states."""
    stated = {name: digest.lower() for name, digest in source.files.items()}
    if source.sha256:
        if len(files) != 1:
            raise UsageError(
                f"{source.path} is a folder, and 'sha256' is about one file",
                "State checksums by path in 'files'.",
            )
        stated |= dict.fromkeys(files, source.sha256.lower())
    wrong = [name for name, digest in stated.items() if files.get(name) != digest]
    if wrong:
        found = files.get(wrong[0], "missing")
        raise UsageError(
            f"{source.path}: {wrong[0]} is not the file the recipe means "
            f"(SHA-256 {found}, expected {stated[wrong[0]]})",
            "Use the original file, or correct the recipe's checksum.",
        )
