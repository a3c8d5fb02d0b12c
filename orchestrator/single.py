"""A plan that only measures one file that is there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from orchestrator import plan, toolchain, workflow
from orchestrator.plan import Plan
from orchestrator.recipe import Recipe
from orchestrator.recipe.sources import Weights
from orchestrator.sourcing import Resolver
from orchestrator.workflow import Session


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
    verify: dict[str, object] = {"kld": against is not None and corpus is not None}
    if corpus is not None:
        verify["perplexity"] = {"corpus": {"path": corpus.absolute()}}
    if prompt:
        verify["smoke"] = {"prompt": prompt, "expect": "."}
    file = Weights(path=path.absolute(), format="gguf")
    recipe = Recipe.model_validate(
        {
            "name": re.sub(r"[^A-Za-z0-9._-]", "_", path.stem).lstrip("._-") or "file",
            "family": "llama",
            "toolchain": {"name": "llama.cpp"},
            "model": {"path": (against or path).absolute(), "format": "gguf"},
            "quantize": (),
            "verify": verify,
            "file": path,
            "digest": "",
        }
    )
    chain = toolchain.load(recipe.toolchain.name)
    resolver = Resolver(session.store.file_digest, session.settings.offline)
    sources = replace(workflow.resolve(recipe, chain, session), base=resolver.resolve(file))
    return plan.make_single(recipe, chain, sources, session.choices)
