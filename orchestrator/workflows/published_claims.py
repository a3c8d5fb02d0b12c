"""What a recipe says that others published of its files: digests, and the files themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.modelfiles import gguf_parts
from orchestrator.planning.plan import Output, Plan


@dataclass(frozen=True)
class Claim:
    """One published file: its digest, or where it is; ``label`` names it.

    ``repo``, ``revision`` and ``file`` say where on the Hub it is, ``path`` where on this
    machine; ``name`` is what its publisher calls it.
    """

    label: str
    sha256: str = ""
    repo: str = ""
    revision: str = "main"
    file: str = ""
    path: Path | None = None
    name: str = ""


def claims(plan: Plan, output: Output) -> Iterator[Claim]:
    """What is published of one output, in ``published`` and in ``verify.sha256``.

    Entries that state neither a digest nor a file on the Hub (but a size, say) claim no bytes.
    """
    names = _names(output)
    for name, sha256 in plan.recipe.verify.sha256.items():
        if name.casefold() in names:
            yield Claim("the recipe's sha256", sha256.lower())
    for entry in plan.recipe.published:
        named = str(entry.get("name") or entry.get("type") or "").casefold()
        if named in names:
            claim = _claim(entry, plan.recipe.file.parent)
            if claim.sha256 or claim.file or claim.path:
                yield claim


def _names(output: Output) -> set[str]:
    names = {output.file.casefold(), output.name.casefold()}
    if output.quant is not None and output.quant.name == output.quant.type:
        names.add(output.quant.type.casefold())
    return names


def _claim(entry: Mapping[str, Any], folder: Path) -> Claim:
    repo, file = str(entry.get("hub") or ""), str(entry.get("file") or "")
    where = f"{repo}/{file}" if repo else str(entry.get("source") or "published")
    return Claim(
        label=where,
        sha256=str(entry.get("sha256") or "").lower(),
        repo=repo,
        revision=str(entry.get("revision") or "main"),
        file=file if repo else "",
        path=folder / str(entry["path"]) if entry.get("path") else None,
        name=file or where,
    )


def stated(claim: Claim, offline: bool) -> str:
    """The SHA-256 that the claim or the Hub's listing states, or ''; no file is fetched for it.

    Raises:
        EnvironmentProblem: The Hub cannot be asked.
        UsageError, StepError: There is no such repository or file.
    """
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

    if claim.sha256 or not claim.repo:
        return claim.sha256

    commit = download.resolve(claim.repo, claim.revision, offline=offline)
    for file in download.listing(claim.repo, commit, offline=offline):
        if file.path == claim.file:
            return file.sha256 or ""
    raise StepError(f"{claim.repo} has no file {claim.file}")


def fetched(claim: Claim, offline: bool) -> Path:
    """The published file itself, from the Hub or its cache.

    Raises:
        EnvironmentProblem: It is not to be had.
        UsageError, StepError: There is no such file, or it arrives damaged.
    """
    if claim.path is not None and claim.path.is_file():
        return claim.path
    if not claim.file:
        raise EnvironmentProblem("only its digest is known")
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

    commit = download.resolve(claim.repo, claim.revision, offline=offline)
    names = gguf_parts.names(claim.file)
    return download.fetch(claim.repo, commit, names, offline=offline) / claim.file
