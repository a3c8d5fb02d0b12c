"""Which llama.cpp made published files and from which revision of which model: guesses.

Each comes with its reason, which the recipe repeats: nothing is guessed in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.base.errors import OrchestrateError
from orchestrator.modelfiles.gguf_file_types import PLAIN
from orchestrator.runs.session import Session
from orchestrator.toolchain import header_signs
from orchestrator.toolchain.load import ToolChain
from orchestrator.workflows.drafting.adopted_recipe import File, Guesses
from orchestrator.workflows.drafting.published_files import Place


@dataclass(frozen=True)
class _Made:
    """A commit of the tool chain and its day."""

    day: str
    commit: str


def guess(files: Sequence[File], place: Place, chain: ToolChain, session: Session) -> Guesses:
    """All guesses about files of one model; only with a network is a revision looked for."""
    commit, reasons = _commit(files, place.uploaded[:10], chain)
    base = place.bases[0] if len(place.bases) == 1 else ""
    revision, day = "", ""
    if base and place.uploaded and not session.settings.offline:
        revision, day = _revision(base, place.uploaded)
    return Guesses(
        commit=commit,
        commit_reasons=reasons,
        bases=place.bases,
        revision=revision,
        revision_reason=f"the newest of {day[:10]}, as the files came on {place.uploaded[:10]}"
        if revision
        else "",
    )


def _commit(files: Sequence[File], uploaded: str, chain: ToolChain) -> tuple[str, tuple[str, ...]]:
    """The newest tried commit that all signs allow; empty for the pinned one."""
    eras = [
        header_signs.era(
            chain.folder,
            {key: str(value) for key, value in one.header.metadata.items()},
            [tensor.name for tensor in one.header.tensors],
            one.facts["type"] not in PLAIN,
        )
        for one in files
    ]
    reasons = tuple(dict.fromkeys(reason for era in eras for reason in era.reasons))
    known = [_Made(one.date, one.commit) for one in chain.source.tried]
    fit = [one for one in known if all(era.within(one.day) for era in eras)]
    if uploaded:
        reasons = (*reasons, f"not after {uploaded}, when the newest of the files came there")
        fit = [one for one in fit if one.day <= uploaded] or fit
    if not fit:
        return "", (*reasons, "no commit that was tried fits all of this")
    best = max(fit, key=lambda one: one.day)
    return "" if best.commit == chain.source.commit else best.commit, reasons


def _revision(repo: str, time: str) -> tuple[str, str]:
    from orchestrator.sources.hub import dates  # noqa: PLC0415 - its library is heavy

    try:
        return dates.commit_at(repo, time)
    except OrchestrateError:  # gated, gone, or a Hub that does not tell: the recipe says main
        return "", ""
