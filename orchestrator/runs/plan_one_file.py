"""A plan that only measures one file that is there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from orchestrator.measures import registry
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.recipe import Recipe
from orchestrator.recipe.source_fields import Weights
from orchestrator.runs import load_and_plan
from orchestrator.runs.resolve_sources import Resolver
from orchestrator.runs.session import Session
from orchestrator.toolchain import find_toolchain

_CHAIN = "llama.cpp"


def plan_of(
    path: Path, against: Path | None, corpus: Path | None, prompt: str, session: Session
) -> Plan:
    """A plan that only measures one GGUF file that is there.

    Args:
        path: The file.
        against: Its unquantized file, for names, shapes, perplexity and divergence.
        corpus: Text for perplexity and divergence.
        prompt: A prompt to continue; without one no text is generated.
        session: What all commands share.
    """
    compared = [one for one in registry.measures() if one.work is not None and one.work.compares]
    both = against is not None and corpus is not None
    verify: dict[str, object] = {one.section.name: both for one in compared if one.section}
    if corpus is not None:
        verify["perplexity"] = {"corpus": {"path": corpus.absolute()}}
    if prompt:
        verify["smoke"] = {"prompt": prompt, "expect": "."}
    file = Weights(path=path.absolute(), format="gguf")
    recipe = Recipe.model_validate(
        {
            "name": re.sub(r"[^A-Za-z0-9._-]", "_", path.stem).lstrip("._-") or "file",
            "family": "llama",
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
    resolver = Resolver(session.store.file_digest, session.settings.offline)
    sources = replace(load_and_plan.resolve(recipe, chain, session), base=resolver.resolve(file))
    return recipe_to_steps.make_single(recipe, chain, sources, session.choices)
