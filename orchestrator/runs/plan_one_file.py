"""A plan that only measures one file that is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from orchestrator.measures import registry, timing
from orchestrator.modelfiles import gguf, gguf_parts
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.planning.resolved_source import Resolved
from orchestrator.recipe import Recipe
from orchestrator.runs import load_and_plan
from orchestrator.runs.session import Session
from orchestrator.toolchain import find_toolchain
from orchestrator.toolchain.families import load as families_of

_CHAIN = "llama.cpp"


def plan_of(
    path: Path,
    against: Path | None,
    corpus: Path | None,
    prompt: str,
    session: Session,
    *,
    timed: bool = True,
) -> Plan:
    """A plan that only measures one GGUF file that is there.

    Args:
        path: The file, or any part of a model in several.
        against: Its unquantized file, for names, shapes, perplexity and divergence.
        corpus: Text for perplexity and divergence.
        prompt: A prompt to continue; without one no text is generated.
        session: What all commands share.
        timed: Whether to measure too what depends on the machine and the hour.

    Raises:
        FormatError: A part is missing or malformed.
    """
    compared = [one for one in registry.measures() if one.work is not None and one.work.compares]
    both = against is not None and corpus is not None
    verify: dict[str, object] = {one.section.name: both for one in compared if one.section}
    if not timed:
        verify |= {one.section.name: False for one in timing.timed() if one.section}
    if corpus is not None:
        verify["perplexity"] = {"corpus": {"path": corpus.absolute()}}
    if prompt:
        verify["smoke"] = {"prompt": prompt, "expect": "."}
    family = _family(path)
    if family in families_of(find_toolchain.load(_CHAIN).folder).encoders:
        verify["embedding"] = {}
    recipe = Recipe.model_validate(
        {
            "name": re.sub(r"[^A-Za-z0-9._-]", "_", path.stem).lstrip("._-") or "file",
            "family": family,
            "toolchain": {"name": _CHAIN},
            "model": {"path": (against or path).absolute(), "format": "gguf"},
            "quantize": (),
            "verify": verify,
            "file": path,
            "digest": "",
        },
        context={"vocabulary": load_and_plan.vocabulary(_CHAIN)},
    )
    chain = find_toolchain.load(_CHAIN)
    sources = load_and_plan.resolve(recipe, chain, session)
    digest = session.store.file_digest
    file, full = (_resolved(one, digest) for one in (path, against or path))
    sources = replace(sources, model=full, base=file)
    return recipe_to_steps.make_single(recipe, chain, sources, session.choices)


def _family(path: Path) -> str:
    """The family of the file's model, or llama: which text it is measured on depends on it."""
    families = families_of(find_toolchain.load(_CHAIN).folder)
    try:
        found = gguf.read(path, partial=True).metadata.get("general.architecture")
    except FormatError:
        found = ""  # the step that reads it says what is wrong
    return families.of_gguf(str(found)) or "llama"


def _resolved(path: Path, digest: Callable[[Path], str]) -> Resolved:
    """A file where it is, with the other parts of its model if it is one of several.

    Raises:
        FormatError: A part is missing or malformed.
    """
    path = path.absolute()
    parts = gguf_parts.files(path)
    identity = {"kind": "path", "files": {one.name: digest(one) for one in parts}, "member": ""}
    return Resolved(identity, {"path": str(path.parent)}, "gguf")
