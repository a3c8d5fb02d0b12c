"""The steps that measure files: logits of the unquantized one, and each file itself; pure."""

from __future__ import annotations

from orchestrator.base.step_values import JSON, Resources
from orchestrator.planning import source_steps
from orchestrator.planning.plan import MODEL
from orchestrator.planning.step_collector import Basis, verbs

_TOOLS = ("logits", "divergence", "complete", "complete_python", "bench")


def logits(basis: Basis, full: str) -> str:
    """Add the full file's own perplexity, and its logits where divergence is wanted; or ''."""
    settings = _perplexity(basis)
    if settings is None or not basis.choices.verify:
        return ""
    recipe = basis.recipe
    argvs, context = verbs(basis.chain, "logits")
    save = recipe.verify.kld and "divergence" in basis.chain.verbs
    return basis.collector.add(
        "logits",
        f"perplexity of {recipe.name} {recipe.converted_name}",
        {"argv": argvs, "file": basis.file, "save": save, **settings, **basis.runtime},
        {MODEL: full, "corpus": source_steps.corpus(basis, "perplexity"), **basis.tools},
        context=context,
        resources=Resources(cpu=True),
        keep="intermediate" if save else "always",
    )


def measure(
    basis: Basis, name: str, step: str, full: str, logits_key: str, *, file: str = ""
) -> str:
    """Add the measuring of one file, alone or against the full one.

    Args:
        basis: The plan's.
        name: What the output is called.
        step: Key of the step that makes the file.
        full: Key of the step that makes the unquantized one.
        logits_key: Key from :func:`logits`, or an empty string.
        file: What the file is called in the store, if not as all model files.
    """
    argvs, context = verbs(basis.chain, *_TOOLS)
    verify, perplexity = basis.recipe.verify, _perplexity(basis)
    kld = bool(logits_key) and verify.kld and step != full and "divergence" in argvs
    inputs = {MODEL: step, "full": full, **basis.tools}
    if perplexity is not None:
        inputs["corpus"] = source_steps.corpus(basis, "perplexity")
    if logits_key and (kld or step == full):
        inputs["logits"] = logits_key
    params = {
        "argv": argvs,
        "file": file or basis.file,
        "full_file": basis.file,
        "format": basis.chain.format,
        "layout": basis.chain.layout,
        "smoke": _smoke(basis),
        "perplexity": perplexity,
        "kld": kld,
        "speed": verify.speed.model_dump(mode="json") if verify.speed else None,
        **basis.runtime,
    }
    return basis.collector.add(
        "measure",
        f"measure {basis.recipe.name} {name}",
        params,
        inputs,
        context=context,
        resources=Resources(cpu=True),
        keep="always",
    )


def _perplexity(basis: Basis) -> dict[str, JSON] | None:
    wanted = basis.recipe.verify.perplexity
    if wanted is None or "logits" not in basis.chain.verbs:
        return None
    return {"context": wanted.context, "chunks": wanted.chunks or -1}


def _smoke(basis: Basis) -> dict[str, JSON] | None:
    smoke = basis.recipe.verify.smoke
    return None if smoke is None else {"prompt": smoke.prompt, "tokens": smoke.tokens}
